package archtest

// Import paths of other modules; each allows its packages below, too.
const (
	natsGo      = "github.com/nats-io/nats.go"
	natsContext = "github.com/synadia-io/orbit.go/natscontext"
	natsServer  = "github.com/nats-io/nats-server/v2"
	uuid        = "github.com/google/uuid"
	semver      = "github.com/Masterminds/semver/v3"
	toml        = "github.com/BurntSushi/toml"
	cobra       = "github.com/spf13/cobra"
	pflag       = "github.com/spf13/pflag"
	tint        = "github.com/lmittmann/tint"
	systemd     = "github.com/coreos/go-systemd/v22"
	testify     = "github.com/stretchr/testify"
	goleak      = "go.uber.org/goleak"
	sys         = "golang.org/x/sys"
	term        = "golang.org/x/term"
)

// Rooms says for each package what its files, tests left out, may import: "std" is the standard library, "*" anything,
// a path below this module one package of ours ("/..." behind it: all below it), and any other path that module.
func Rooms() map[string][]string {
	return map[string][]string{
		"messages": {"std", uuid},

		"spawner":         {"std", "messages", "spawner/...", "internal/fault"},
		"spawner/device":  {"std"},
		"spawner/binary":  {"std", sys},
		"spawner/catalog": {"std", "spawner/binary", semver},
		"spawner/devtree": {"std", "spawner/binary", toml},
		"spawner/logs":    {"std", sys},
		"spawner/process": {"std", "internal/fault", sys},
		"spawner/health":  {"std", sys},

		"consumer": {"std", "messages", "internal/fault", natsGo},
		"queen":    {"std", "messages", natsGo},

		"cmd/rbee-hive":  {"std", "consumer", "spawner", "spawner/catalog", "spawner/devtree", "spawner/logs", "spawner/process", "messages", "internal/cli", "internal/doctor", "internal/natsconn", "internal/show", cobra, pflag, systemd, sys},
		"cmd/rbee":       {"std", "queen", "messages", "internal/cli", "internal/natsconn", "internal/devstack", "internal/show", cobra, pflag},
		"cmd/llm-worker": {"std", "internal/backend"},

		"internal/cli":      {"std", cobra, pflag, tint, term},
		"internal/natsconn": {"std", natsGo, natsContext, pflag},
		"internal/doctor": {
			"std", "messages", "spawner/binary", "spawner/catalog", "spawner/device", "spawner/devtree", "spawner/process",
			"internal/natsconn", natsGo, sys,
		},
		"internal/natsd":      {"std", natsServer},
		"internal/devstack":   {"std", "consumer", "spawner", "spawner/catalog", "spawner/devtree", "queen", "messages", "internal/natsd", natsGo},
		"internal/natstest":   {"std", "internal/natsd", natsGo},
		"internal/netfault":   {"std"},
		"internal/show":       {"std", "messages", "internal/cli"},
		"internal/proctest":   {"std", testify},
		"internal/helptest":   {"std", "internal/cli", cobra, testify},
		"internal/leaktest":   {"std", goleak},
		"internal/porttest":   {"std"},
		"internal/archtest":   {"std"},
		"internal/backend":    {"std"},
		"internal/fakeserver": {"std"},
		"internal/tinyworker": {"std"},
		"internal/fault":      {"std", sys},
		"internal/bench":      {"*"},
		"internal/chaos":      {"*"},
		"internal/e2e":        {"*"},
	}
}

// Unreachable says what no command may depend on, directly or not, each with the commands that may after all.
func Unreachable() map[string][]string {
	return map[string][]string{
		"testing":  nil,
		testify:    nil,
		natsServer: {"cmd/rbee"}, // for dev and demo
	}
}
