package spawner

// HoldEnds has every end of a worker wait before it is written down, until release is called.
func (s *Spawner) HoldEnds() (release func()) {
	for range cap(s.ends) {
		s.ends <- struct{}{}
	}
	return func() {
		for range cap(s.ends) {
			<-s.ends
		}
	}
}
