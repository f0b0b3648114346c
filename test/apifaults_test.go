package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// An apiFault befalls a request before the API server has heard of it, or after it has done
// what was asked for: then only the answer is spoilt.
type apiFault struct {
	name string
	// before returns what is passed on to the API server; nil if it is answered already.
	before func(w http.ResponseWriter, r *http.Request) *http.Request
	after  *apierrors.StatusError // the answer instead of the API server's; none if it is lost
}

const (
	longestDelay = time.Second
	longestWatch = 3 * time.Second
)

var (
	anything   = schema.GroupResource{Resource: "anything"}
	lostAnswer = apiFault{name: "done, but the answer is lost"}

	apiFaults = []apiFault{
		lostAnswer,
		{name: "done, but the answer is 504", after: apierrors.NewTimeoutError("etcdserver: request timed out", 0)},
		instead(apierrors.NewConflict(anything, "it", errors.New("somebody else was faster"))),
		instead(apierrors.NewTooManyRequests("not now", 1)),
		instead(apierrors.NewInternalError(errors.New("etcdserver: leader changed"))),
		instead(apierrors.NewServiceUnavailable("not yet")),
		{name: "cut off", before: func(http.ResponseWriter, *http.Request) *http.Request { cutOff(); return nil }},
	}
)

// instead is what an API server answers without having done anything.
func instead(answer *apierrors.StatusError) apiFault {
	return apiFault{
		name: strconv.Itoa(int(answer.ErrStatus.Code)),
		before: func(w http.ResponseWriter, _ *http.Request) *http.Request {
			write(w, answer)
			return nil
		},
	}
}

func write(w http.ResponseWriter, answer *apierrors.StatusError) {
	if seconds, known := apierrors.SuggestsClientDelay(answer); known && seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(answer.ErrStatus.Code))
	status := answer.Status()
	status.Kind, status.APIVersion = "Status", "v1"
	_ = json.NewEncoder(w).Encode(status) // who asked may have gone
}

type spoiltKey struct{}

// spoil lets the request through, and marks its answer.
func (f apiFault) spoil(w http.ResponseWriter, r *http.Request) *http.Request {
	if f.before != nil {
		return f.before(w, r)
	}
	return r.WithContext(context.WithValue(r.Context(), spoiltKey{}, f))
}

// spoilAnswer is where an answer that was marked is taken out.
func spoilAnswer(answer *http.Response) error {
	if f, spoilt := answer.Request.Context().Value(spoiltKey{}).(apiFault); spoilt {
		return fmt.Errorf("%s: %s", f.name, answer.Status)
	}
	return nil
}

// answerSpoilt answers in place of the API server, and where that can't be reached.
func answerSpoilt(w http.ResponseWriter, r *http.Request, _ error) {
	if f, spoilt := r.Context().Value(spoiltKey{}).(apiFault); spoilt && f.after != nil {
		write(w, f.after)
		return
	}
	cutOff()
}

// spoilRequests has faults befall a share of the requests from now on, and cuts watches
// short. The first write of each kind loses its answer in any case.
func (p *apiProxy) spoilRequests(rate float64) {
	p.mu.Lock()
	p.rate = rate
	p.mu.Unlock()
	p.cutAll() // watches that are open already
}

// befall delays a request, and spoils it if that is its fate. It returns what is passed
// on, or nil.
func (p *apiProxy) befall(w http.ResponseWriter, r *http.Request) (passed *http.Request, done func()) {
	f, delay, watch := p.draw(r)
	done = func() {}
	if watch > 0 {
		var ctx context.Context
		ctx, done = context.WithTimeout(r.Context(), watch)
		r = r.WithContext(ctx)
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
		}
	}
	if f == nil {
		return r, done
	}
	return f.spoil(w, r), done
}

func (p *apiProxy) draw(r *http.Request) (f *apiFault, delay, watch time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == 0 {
		return nil, 0, 0
	}
	if r.URL.Query().Has("watch") {
		watch = time.Duration(p.random.Int63n(int64(longestWatch)))
	}
	if p.random.Float64() < p.rate {
		delay = time.Duration(p.random.Int63n(int64(longestDelay)))
	}
	switch kind := kindOf(r); {
	case r.Method != http.MethodGet && !p.writes[kind]:
		p.writes[kind] = true
		f = &lostAnswer
	case p.random.Float64() < p.rate:
		f = &apiFaults[p.drawn%len(apiFaults)] // each in its turn
		p.drawn++
	default:
		return nil, delay, watch
	}
	p.met[f.name]++
	return f, delay, watch
}

var apiPath = regexp.MustCompile(`^/(?:api/v1|apis/[^/]+/[^/]+)/(?:namespaces/[^/]+/)?([^/]+)(?:/[^/]+(/[^/]+)?)?$`)

// kindOf is a request's method and resource, as in "POST persistentvolumes" and "PATCH
// persistentvolumeclaims/status".
func kindOf(r *http.Request) string {
	return r.Method + " " + apiPath.ReplaceAllString(r.URL.Path, "$1$2")
}

// suffered is how many requests have met a fault, by its name, and which kinds of writes
// have lost an answer.
func (p *apiProxy) suffered() (met map[string]int, writes map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.met), maps.Clone(p.writes)
}
