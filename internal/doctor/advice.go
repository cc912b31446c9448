package doctor

import "regexp"

// withAdvice matches an error that says what to do next, as those of this module do: behind its last colon or semicolon.
var withAdvice = regexp.MustCompile("^(.+)[:;] ((?:call|check|correct|get|give|install|name|run|remove|start|use) .+)$")

// failBy makes a failure of an error. Advice is for an error that gives none.
func failBy(err error, advice string) []Check {
	message, advice := split(err, advice)
	return fail(advice, "%s", message)
}

// warnBy makes a warning of an error, as [failBy] does a failure.
func warnBy(err error, advice string) []Check {
	message, advice := split(err, advice)
	return warn(advice, "%s", message)
}

func split(err error, otherwise string) (message, advice string) {
	if parts := withAdvice.FindStringSubmatch(err.Error()); parts != nil {
		return parts[1], parts[2]
	}
	return err.Error(), otherwise
}
