package queen

import (
	"context"
	"fmt"

	"github.com/rbee-keeper/hive/messages"
)

// Catalog asks hive which workers are installed on its machine, page by page, and returns all of them as one page. The errors
// are those of [Client.Worker].
func (c *Client) Catalog(ctx context.Context, hive string) (messages.CatalogPage, error) {
	var all messages.CatalogPage
	request := messages.CatalogRequest{Operation: messages.CatalogList}
	for {
		page, err := ask(ctx, c, hive, messages.CatalogList, "", request, messages.DecodeCatalog,
			func(p messages.CatalogPage) string { return p.HiveID })
		if err != nil {
			return messages.CatalogPage{}, err
		}
		page.Entries = append(all.Entries, page.Entries...)
		all = page
		switch {
		case page.Next == 0:
			return all, nil
		case page.Next <= request.Skip:
			return messages.CatalogPage{}, fmt.Errorf("list the catalog of hive %s: the page behind %d says that %d comes next", hive, request.Skip, page.Next)
		}
		request.Skip = page.Next
	}
}

// Explain asks hive what job would start, and why that. Nothing is started, whatever the job says of DryRun. The errors are
// those of [Client.Worker], and those that the job would meet up to a start.
func (c *Client) Explain(ctx context.Context, hive string, job messages.Job) (messages.Plan, error) {
	job.Operation, job.DryRun = messages.WorkerSpawn, true
	return ask(ctx, c, hive, messages.WorkerSpawn, job.HiveID, job, messages.DecodePlan,
		func(p messages.Plan) string { return p.HiveID })
}
