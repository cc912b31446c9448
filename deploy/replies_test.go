package deploy_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"
)

func TestHiveAnswersTheRequestsItWasSent(t *testing.T) {
	t.Parallel()
	everyBroker(t, hiveAnswersTheRequestsItWasSent)
}

func hiveAnswersTheRequestsItWasSent(t *testing.T, srv *broker) {
	boss, worker, neighbour := dial(t, srv, queen), dial(t, srv, hive1), dial(t, srv, hive2)
	jobs := make(chan *nats.Msg, 1)
	_, err := worker.ChanQueueSubscribe("rbee.v1.hive.gpu-1.*", "gpu-1", jobs)
	require.NoError(t, err)
	require.False(t, refusal(t, worker))

	answers := listen(t, boss, "_INBOX_queen.one.*")
	ask := func(token string) *nats.Msg {
		require.NoError(t, boss.PublishRequest("rbee.v1.hive.gpu-1.worker_list", "_INBOX_queen.one."+token, nil))
		return <-jobs
	}

	t.Log("a hive that was not asked cannot answer, even if it knows where to")
	job := ask("1")
	require.NoError(t, neighbour.Publish(job.Reply, []byte("it was me")))
	require.True(t, refusal(t, neighbour))
	require.Zero(t, answers.heard(t))

	t.Log("the one that was asked answers once")
	require.NoError(t, job.Respond([]byte("first")))
	require.False(t, refusal(t, worker))
	require.Equal(t, 1, answers.heard(t))
	require.NoError(t, job.Respond([]byte("second")))
	require.True(t, refusal(t, worker))
	require.Zero(t, answers.heard(t))

	t.Log("a permission to answer ends with the connection: the result is what reaches the queen then")
	job = ask("2")
	again := dial(t, srv, hive1)
	require.NoError(t, again.Publish(job.Reply, []byte("after a reconnect")))
	require.True(t, refusal(t, again))
	require.Zero(t, answers.heard(t))
}

func TestNobodyIsThereIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	everyBroker(t, nobodyIsThereIsSaidAtOnce)
}

func nobodyIsThereIsSaidAtOnce(t *testing.T, srv *broker) {
	boss := dial(t, srv, queen)
	_, err := boss.RequestWithContext(t.Context(), "rbee.v1.hive.gpu-1.worker_list", nil)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestAnswersMayTakeLongerThanTheServersDefault(t *testing.T) {
	t.Parallel()
	conf := readFile(t, "nats-server.conf")
	require.Equal(t, 2, strings.Count(conf, `allow_responses { max: 1, expires: "1h" }`), "one for each hive")
}

func TestQueenAndObserverFindTheHives(t *testing.T) {
	t.Parallel()
	everyBroker(t, queenAndObserverFindTheHives)
}

func queenAndObserverFindTheHives(t *testing.T, srv *broker) {
	ids := map[string]string{hive1: serve(t, srv, hive1), hive2: serve(t, srv, hive2)}

	cases := map[string][]string{ // subject → who may ask
		"$SRV.PING":                              {queen, observer},
		"$SRV.PING.rbee-hive":                    {queen, observer},
		"$SRV.PING.rbee-hive." + ids[hive1]:      {queen, observer},
		"$SRV.INFO":                              {queen},
		"$SRV.INFO.rbee-hive":                    {queen},
		"$SRV.INFO.rbee-hive." + ids[hive2]:      {queen},
		"$SRV.STATS":                             {queen},
		"$SRV.STATS.rbee-hive":                   {queen},
		"$SRV.STATS.rbee-hive." + ids[hive1]:     {queen},
		"rbee.v1.hive.gpu-1.worker_list":         {queen},
		"rbee.v1.hive.gpu-2.any_other_operation": {queen},
	}
	for subject, askers := range cases {
		want := []string{"gpu-1", "gpu-2"}
		switch {
		case strings.HasSuffix(subject, ids[hive1]), strings.Contains(subject, "gpu-1"):
			want = want[:1]
		case strings.HasSuffix(subject, ids[hive2]), strings.Contains(subject, "gpu-2"):
			want = want[1:]
		}
		for _, asker := range askers {
			require.ElementsMatch(t, want, answers(t, dial(t, srv, asker), subject, len(want)), "%s asks %s", asker, subject)
		}
	}
}

// serve runs the micro service of a hive and returns its random id. Nothing that it does may be refused.
func serve(t *testing.T, srv *broker, role string) string {
	t.Helper()
	hive := strings.TrimPrefix(role, "hive-")
	nc := dial(t, srv, role)
	svc, err := micro.AddService(nc, micro.Config{
		Name: "rbee-hive", Version: "0.1.0", Metadata: map[string]string{"hive_id": hive},
	})
	require.NoError(t, err)
	reply := func(r micro.Request) {
		_ = r.RespondJSON(map[string]any{"metadata": map[string]string{"hive_id": hive}})
	}
	require.NoError(t, svc.AddEndpoint("jobs", micro.HandlerFunc(reply),
		micro.WithEndpointSubject("rbee.v1.hive."+hive+".*"), micro.WithEndpointQueueGroup(hive)))
	require.False(t, refusal(t, nc), "%s subscribes", role)
	t.Cleanup(func() { require.False(t, refusal(t, nc), "%s answers", role) })
	return svc.Info().ID
}

// answers asks on subject and returns the hive ids of the n answers.
func answers(t *testing.T, nc *nats.Conn, subject string, n int) []string {
	t.Helper()
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	require.NoError(t, nc.PublishRequest(subject, inbox, nil))
	require.False(t, refusal(t, nc), "asking on %s", subject)
	var hives []string
	for range n {
		msg, err := sub.NextMsg(time.Minute)
		require.NoError(t, err, "an answer on %s", subject)
		var answer struct {
			Metadata map[string]string `json:"metadata"`
		}
		require.NoError(t, json.Unmarshal(msg.Data, &answer))
		hives = append(hives, answer.Metadata["hive_id"])
	}
	return hives
}
