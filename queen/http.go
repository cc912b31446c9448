package queen

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/rbee-keeper/hive/messages"
)

const workersPath = "/v1/workers"

// ServeHTTP answers the requests that the package documentation lists. Bounding the time that a client may take is up to
// the [http.Server] around it.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mux.ServeHTTP(w, req)
}

func (r *Registry) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+messages.HeartbeatPath, r.postHeartbeat)
	mux.HandleFunc("GET "+workersPath, r.getWorkers)
	mux.HandleFunc("GET "+workersPath+"/{id}", r.getWorker)
	mux.HandleFunc(messages.HeartbeatPath, otherMethod(http.MethodPost))
	mux.HandleFunc(workersPath, otherMethod(http.MethodGet, http.MethodHead))
	mux.HandleFunc(workersPath+"/{id}", otherMethod(http.MethodGet, http.MethodHead))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "not_found", "there are "+messages.HeartbeatPath+", "+workersPath+" and "+workersPath+"/{id}")
	})
	return mux
}

func (r *Registry) postHeartbeat(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, messages.MaxPayload))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", "a heartbeat has at most "+strconv.Itoa(messages.MaxPayload)+" bytes")
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_heartbeat", "the body ended early")
		return
	}
	beat, err := messages.DecodeHeartbeat(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_heartbeat", err.Error())
		return
	}
	if !r.take(beat) {
		w.Header().Set("Retry-After", strconv.Itoa(int(messages.HeartbeatInterval.Seconds())))
		refuse(w, http.StatusServiceUnavailable, "registry_full", "no more than "+strconv.Itoa(r.cfg.MaxWorkers)+" workers are kept")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *Registry) getWorkers(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, struct {
		Workers []Worker `json:"workers"`
	}{r.Workers()})
}

func (r *Registry) getWorker(w http.ResponseWriter, req *http.Request) {
	worker, ok := r.Worker(req.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "worker_not_found", "no worker with this id has sent a heartbeat lately")
		return
	}
	respond(w, http.StatusOK, worker)
}

func otherMethod(allowed ...string) http.HandlerFunc {
	list := strings.Join(allowed, ", ")
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", list)
		refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "use "+list)
	}
}

// refusal is the body of every answer that is an error.
type refusal struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	var body refusal
	body.Error.Code, body.Error.Message = code, message
	respond(w, status, body)
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // fails only if the client has gone
}
