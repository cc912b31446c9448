package natsd

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster says how a server finds the others with which it keeps streams. Each of them needs a name of its own ([Config.Name]) and
// a store. A cluster takes some seconds until it has agreed on who leads it: make streams in a loop until then.
type Cluster struct {
	// Name is the cluster's, the same for all; empty means the one in the ConfigFile. What that says besides about who may join
	// (authorization, TLS) counts; its addresses and ports do not.
	Name string
	// Port is where the others connect to, on the server's Host.
	Port int
	// Routes are the other servers' hosts and cluster ports, like 127.0.0.1:6222; this server's own may be among them. Name all
	// of them: their number says how many servers must be there before the first leader can be chosen.
	Routes []string
}

// join makes opts those of one of several servers. file is what the configuration file says of the cluster.
func (c *Cluster) join(opts *server.Options, file server.ClusterOpts) error {
	file.Name = cmp.Or(c.Name, file.Name)
	if file.Name == "" || opts.ServerName == "" || c.Port == 0 || len(c.Routes) == 0 {
		return errors.New("a server of a cluster needs a name, the cluster's name, a port and its routes: give all of them")
	}
	file.Host, file.Port, file.Advertise = opts.Host, c.Port, ""
	file.ListenStr = ""
	opts.Cluster = file
	for _, route := range c.Routes {
		u := &url.URL{Scheme: "nats-route", Host: route}
		if file.Username != "" {
			u.User = url.UserPassword(file.Username, file.Password)
		}
		if u.Port() == "" {
			return fmt.Errorf("route %q: write it like 127.0.0.1:6222", route)
		}
		opts.Routes = append(opts.Routes, u)
	}
	return nil
}
