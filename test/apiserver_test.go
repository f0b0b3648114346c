package e2e

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Whatever the API server answers, and whichever of its answers are lost, claims get one
// volume each, grow, and go, and nothing else is made.
func TestAPIServerFaults(t *testing.T) {
	t.Parallel()
	ceph := suite.ceph[0]
	proxy := newAPIProxy(t)
	s := newScene(t)
	s.serveAlone("--kubeconfig=" + proxy.kubeconfig)
	kinds := s.everyKind(ceph)

	proxy.spoilRequests(0.2)
	s.begin(kinds)
	s.sees(proxy, "POST persistentvolumes", "POST secrets")
	s.change(kinds)
	s.sees(proxy, "DELETE persistentvolumes", "DELETE secrets", "PATCH persistentvolumes", "PATCH persistentvolumeclaims/status")
	proxy.spoilRequests(0)

	s.allDone(kinds)
	s.deleteAll(kinds)
	met, _ := proxy.suffered()
	for _, fault := range apiFaults {
		if met[fault.name] == 0 {
			t.Errorf("no request has met %q: this test shows too little", fault.name)
		}
	}
	t.Logf("faults: %v", met)
}

// sees waits until writes of these kinds have lost their answers.
func (s *scene) sees(proxy *apiProxy, kinds ...string) {
	s.t.Helper()
	s.eventually("the controller's writes lose their answers", func(context.Context) error {
		var missing []error
		_, writes := proxy.suffered()
		for _, kind := range kinds {
			if !writes[kind] {
				missing = append(missing, fmt.Errorf("there was no %s", kind))
			}
		}
		return errors.Join(missing...)
	})
}

// While the API server can't be reached, users (who reach it) go on. What they want is
// done when it can be reached again, by the same process.
func TestAPIServerIsOutOfReach(t *testing.T) {
	t.Parallel()
	for state, silent := range map[string]bool{"connections are cut": false, "nobody answers": true} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			proxy := newAPIProxy(t)
			s := newScene(t)
			s.serveAlone("--kubeconfig=" + proxy.kubeconfig)
			kinds := s.everyKind(suite.ceph[0])
			s.makeOne(kinds)
			s.begin(kinds)
			proxy.close(silent)
			s.useOne(kinds)
			s.eventually("the controller is turned away", func(context.Context) error {
				if n := proxy.turnedAway(); n < 5 {
					return fmt.Errorf("%d requests were", n)
				}
				return nil
			})
			proxy.open()
			s.change(kinds)
			s.allDone(kinds)
			s.deleteAll(kinds)
			s.sameProcess()
		})
	}
}

// Not parallel: all tests use this API server. It stands still for a while, and then it is
// killed and started again.
func TestAPIServerIsRestarted(t *testing.T) {
	const apiServer = "kube-apiserver"
	t.Cleanup(func() { suite.restartIfEnded(t) })
	s := newScene(t)
	s.serveAlone()
	kinds := s.everyKind(suite.ceph[0])
	s.makeOne(kinds)
	s.begin(kinds)
	s.useOne(kinds)
	signal := func(signal syscall.Signal) {
		if err := suite.cluster.Signal(apiServer, signal); err != nil {
			t.Fatal(err)
		}
	}
	defer signal(syscall.SIGCONT)
	signal(syscall.SIGSTOP)
	s.eventually("the API server stands still for a while", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		_, err := suite.client.CoreV1().Namespaces().Get(ctx, s.namespace, metav1.GetOptions{})
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return fmt.Errorf("it answers (%v)", err) // the signal is on its way
	})
	signal(syscall.SIGCONT)
	s.begin(kinds)
	killed := time.Now()
	if err := suite.cluster.Restart(t.Context(), apiServer); err != nil {
		t.Fatal(err)
	}
	s.eventually("the API server is ready", func(ctx context.Context) error {
		return suite.client.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	suite.unready = append(suite.unready, span{killed, time.Now()})
	s.change(kinds)
	s.allDone(kinds)
	s.deleteAll(kinds)
	s.sameProcess()
}

// sameProcess fails if the test's own controller has ended meanwhile.
func (s *scene) sameProcess() {
	s.t.Helper()
	select {
	case <-s.controller.exited:
		s.t.Errorf("the controller has ended: %v", s.controller.err)
	default:
	}
}

// restartIfEnded does to the suite's controller what a kubelet does.
func (e *environment) restartIfEnded(t *testing.T) {
	select {
	case <-e.controller.exited:
	default:
		return
	}
	e.controller.killed = true // it does not end well without its lease
	next, err := e.startController(context.Background())
	if err != nil {
		t.Error(err)
	}
	e.controller = next
}
