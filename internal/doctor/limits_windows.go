package doctor

// fileLimit reports that the limit is not known: the system has none of the kind.
func fileLimit() (soft, hard int64, known bool) { return 0, 0, false }

// userProcesses reports that the limit is not known: the system has none of the kind.
func userProcesses() (soft int64, known bool) { return 0, false }
