package consumer

import (
	"context"

	"github.com/rbee-keeper/hive/messages"
)

// catalog answers with as many entries as fit.
func (h *hive) catalog(ctx context.Context, data []byte, limit int) ([]byte, error) {
	req, err := messages.DecodeCatalogRequest(data, messages.CatalogList)
	if err == nil {
		err = h.isOurs(req.HiveID)
	}
	if err != nil {
		return nil, err
	}
	page, err := h.spawner.Catalog(ctx, req)
	if err != nil {
		return nil, err
	}
	for {
		answer, err := page.Encode()
		if err != nil || len(answer) <= limit || len(page.Entries) < 2 {
			return answer, err
		}
		page.Entries = page.Entries[:len(page.Entries)/2]
		page.Next = req.Skip + len(page.Entries)
	}
}

// explain answers what a job that is a dry run would start.
func (h *hive) explain(ctx context.Context, data []byte, _ int) ([]byte, error) {
	job, err := messages.DecodeJob(data, messages.WorkerSpawn)
	if err == nil {
		err = h.isOurs(job.HiveID)
	}
	if err != nil {
		return nil, err
	}
	plan, err := h.spawner.Explain(ctx, job)
	if err != nil {
		return nil, err
	}
	plan.HiveID, plan.JobID = h.HiveID, job.JobID
	return plan.Encode()
}
