package process

import (
	"os"
	"slices"
)

// descend returns the indices of all processes in the sessions, of the processes with the given pids, and of all that
// descend from them. A given process that is in no session of the worker's, which is one that began before since, brings
// along its descendants only.
func (s *Snapshot) descend(sessions, pids []int32, since uint64) []int32 {
	s.link()
	var found []int32
	have, seen := make(map[int32]bool), make(map[int32]bool)
	add := func(i int32) {
		if !have[s.procs[i].pid] && s.mayEnd(i) {
			have[s.procs[i].pid] = true
			found = append(found, i)
		}
	}
	var loose []int32 // sessions of which not everyone belongs
	for _, pid := range pids {
		i, ok := s.find(pid)
		if !ok {
			continue
		}
		add(i)
		if session := s.procs[i].session; session == pid || s.begins(session) >= since && s.begins(session) > 0 {
			sessions = append(sessions, session)
		} else if have[pid] {
			loose = append(loose, session)
		}
	}
	for grown := true; grown; {
		for len(sessions) > 0 {
			session := sessions[0]
			if sessions = sessions[1:]; session == 0 || seen[session] {
				continue
			}
			seen[session] = true
			for i := range s.session(session) {
				add(i)
			}
			sessions = append(sessions, s.below[session]...)
		}
		grown = false
		for _, session := range loose {
			for i := range s.session(session) {
				if p := s.look(i); !have[s.procs[i].pid] && have[p.parent] && s.mayEnd(i) {
					add(i)
					grown = true
				}
			}
			for _, lower := range s.below[session] {
				if i, ok := s.find(lower); ok && have[s.look(i).parent] && !seen[lower] {
					sessions, grown = append(sessions, lower), true
				}
			}
		}
	}
	return found
}

// mayEnd reports whether the process is one that a worker could have: not init, no kernel thread, not this process, and
// none of its ancestors.
func (s *Snapshot) mayEnd(i int32) bool {
	p := s.look(i)
	return s.procs[i].pid > 1 && p.ticks > 0 && !p.kernel && !s.mine(s.procs[i].pid)
}

// mine reports whether pid is this process or one of its ancestors.
func (s *Snapshot) mine(pid int32) bool {
	if len(s.own) == 0 {
		for low := int32(os.Getpid()); low > 0 && !slices.Contains(s.own, low); { // no table of one instant: no endless circle
			s.own = append(s.own, low)
			i, ok := s.find(low)
			if !ok {
				break
			}
			low = s.look(i).parent
		}
	}
	return slices.Contains(s.own, pid)
}

// begins returns when the leader of the session was started; 0 if it has gone.
func (s *Snapshot) begins(session int32) uint64 {
	if i, ok := s.find(session); ok {
		return s.look(i).ticks
	}
	return 0
}

// link finds out which session was opened from which. Where the leader of a session has gone, each of its processes whose
// parent is elsewhere tells.
func (s *Snapshot) link() {
	if s.below != nil {
		return
	}
	s.below = make(map[int32][]int32)
	put := func(session, i int32) {
		above := s.procs[i].parent
		if above == 0 {
			above = s.look(i).parent
		}
		parent, ok := s.find(above)
		if !ok || s.procs[parent].session == session {
			return
		}
		upper := s.procs[parent].session
		s.below[upper] = append(s.below[upper], session)
	}
	for session := range s.first {
		if session == 0 {
			continue // the kernel's own, and init's
		}
		if i, ok := s.find(session); ok {
			put(session, i)
			continue
		}
		for i := range s.session(session) {
			put(session, i)
		}
	}
}
