package natsconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go"
)

// connectError is a failed attempt in words that say what to do next; the error of the library stays behind it.
type connectError struct {
	text  string
	cause error
}

func (e *connectError) Error() string { return e.text }
func (e *connectError) Unwrap() error { return e.cause }

// explain puts the error of an attempt into words. Users and passwords in URLs are hidden.
func (c Config) explain(err error) error {
	text := hideUserinfo(err.Error())
	unknown, badCert, badRecord := &net.DNSError{}, &tls.CertificateVerificationError{}, tls.RecordHeaderError{}
	switch {
	case refused(err):
		text = c.explainRefusal(err)
	case errors.As(err, &unknown):
		text = fmt.Sprintf("no machine is known by the name %s: check --server (NATS_URL)", unknown.Name)
	case away(err):
		text = fmt.Sprintf("no NATS server answers at %s: start one (`rbee dev` has one inside), or name another with --server (NATS_URL)", c)
	case errors.As(err, &badCert), errors.As(err, new(x509.UnknownAuthorityError)):
		text = fmt.Sprintf("the certificate of %s is not trusted (%s): name the file that vouches for it with --tls-ca (NATS_CA)", c, text)
	case errors.Is(err, nats.ErrSecureConnWanted):
		text = fmt.Sprintf("%s does not offer TLS, which the settings ask for: use nats:// and no --tls-… flags, or another --server", c)
	case errors.As(err, &badRecord), errors.Is(err, nats.ErrNoInfoReceived):
		text = fmt.Sprintf("what answers at %s is no NATS server: check the port of --server (NATS_URL)", c)
	case errors.Is(err, nats.ErrNkeysNotSupported):
		text = fmt.Sprintf("%s does not ask for an NKey: use the credentials that it is set up for", c)
	default:
		text = fmt.Sprintf("connect to NATS at %s: %s", c, text)
	}
	return &connectError{text: text, cause: err}
}

// explainLocal puts an error about files of this machine into words.
func (c Config) explainLocal(err error) error {
	text := hideUserinfo(err.Error())
	if c.Context != "" {
		text = fmt.Sprintf("NATS context %s: %s: `nats context ls` shows those that there are", c.Context, text)
	}
	return &connectError{text: text, cause: err}
}

// explainRefusal says what to check about credentials that a server did not take.
func (c Config) explainRefusal(err error) string {
	what := map[string]string{
		"--context": "those of context " + c.Context,
		"--creds":   "the file " + c.Creds,
		"--nkey":    "the NKey of " + c.NKey,
		"--user":    "user " + c.User + " and its password",
		"--token":   "the token",
	}
	given := c.credentials()
	switch {
	case errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAccountAuthExpired):
		return fmt.Sprintf("NATS at %s says that the credentials have expired: get new ones from whoever runs it", c)
	case errors.Is(err, nats.ErrAuthRevoked):
		return fmt.Sprintf("NATS at %s says that the credentials were revoked: get new ones from whoever runs it", c)
	case len(given) > 0:
		return fmt.Sprintf("NATS at %s refuses the credentials: check %s against the users of its configuration", c, what[given[0]])
	case strings.Contains(c.Server, "@"):
		return fmt.Sprintf("NATS at %s refuses the credentials: check user and password in the URL", c)
	}
	return fmt.Sprintf("NATS at %s wants credentials and none are given: give --creds, --nkey, --user or --token, or a --context that holds them", c)
}

// refused reports whether a server was there and did not take the credentials.
func refused(err error) bool {
	for _, target := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// away reports whether nothing answered.
func away(err error) bool {
	dial := &net.OpError{}
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &dial) && dial.Op == "dial"
}

var userinfo = regexp.MustCompile(`://[^/?#\s]*@`)

// hideUserinfo takes users and passwords out of every URL in a text.
func hideUserinfo(text string) string {
	return userinfo.ReplaceAllString(text, "://")
}
