package main

import (
	"fmt"

	"github.com/rbee-keeper/hive/messages"
)

// progress is what the narration has told of a queued job. Without narration nothing is known.
type progress struct {
	begun  bool   // its hive has it in hand
	worker string // what it starts; empty where nothing is to be ended
}

// hear returns a listener that notes what narrate is told. Without one nothing is narrated.
func (p *progress) hear(narrate func(messages.Event)) func(messages.Event) {
	if narrate == nil {
		return nil
	}
	return func(e messages.Event) {
		p.begun, p.worker = e.Action != messages.ActionRetry, e.WorkerID // behind a retry it waits again
		narrate(e)
	}
}

// goesOn says what becomes of a job that nobody waits for any more.
func (p progress) goesOn(job string) string {
	if !p.begun {
		return fmt.Sprintf("job %[1]s stays in the queue: `rbee jobs get %[1]s` shows what becomes of it, `rbee jobs cancel %[1]s` takes it out while it waits", job)
	}
	text := fmt.Sprintf("job %[1]s is at work on the hive; `rbee jobs get %[1]s` tells its outcome", job)
	if p.worker != "" {
		text += fmt.Sprintf(", `rbee workers rm %s` ends its worker", p.worker)
	}
	return text
}
