package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	pollInterval = 200 * time.Millisecond
	// toolInterval is for checks that run programs, by dozens of tests at a time.
	toolInterval = time.Second
	// patience is many times what anything takes on a busy machine: it decides
	// when a test gives up, never whether something was fast enough.
	patience = 4 * time.Minute
)

// scene is one test's own part of the cluster: a namespace, and StorageClasses
// that carry its name. Both are gone when the test ends, with all volumes.
type scene struct {
	t           testing.TB
	namespace   string
	classes     []string
	rbd, cephfs string      // the provisioners of its classes
	controller  *controller // that serves them alone; nil if it is the suite's
}

func newScene(t testing.TB) *scene {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	namespace, err := suite.client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, namespace: namespace.Name, rbd: rbdProvisioner, cephfs: cephfsProvisioner}
	t.Cleanup(s.leave)
	return s
}

// leaveNothing deletes the claims and waits for their volumes to be gone.
func (s *scene) leaveNothing() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	core := suite.client.CoreV1()
	claims := core.PersistentVolumeClaims(s.namespace)
	err := claims.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	if err != nil {
		s.t.Error(err)
	}
	s.eventuallyIn(ctx, pollInterval, patience, "the test's volumes are deleted", func(ctx context.Context) error {
		volumes, err := s.volumes(ctx)
		if err == nil && len(volumes) > 0 {
			err = fmt.Errorf("%d are left, such as %s (%s)", len(volumes), volumes[0].Name, volumes[0].Status.Phase)
		}
		return err
	})
}

// leave deletes what the test has made. The classes' secrets are needed to delete the
// volumes, so those go last.
func (s *scene) leave() {
	s.leaveNothing()
	if s.controller != nil {
		if err := s.controller.stop(); err != nil {
			s.t.Error(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	core := suite.client.CoreV1()
	for _, class := range s.classes {
		err := suite.client.StorageV1().StorageClasses().Delete(ctx, class, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			s.t.Error(err)
		}
	}
	if err := core.Namespaces().Delete(ctx, s.namespace, metav1.DeleteOptions{}); err != nil {
		s.t.Error(err)
	}
}

// volumes lists the PersistentVolumes made for claims of the test.
func (s *scene) volumes(ctx context.Context) ([]corev1.PersistentVolume, error) {
	list, err := suite.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var own []corev1.PersistentVolume
	for _, pv := range list.Items {
		if ref := pv.Spec.ClaimRef; ref != nil && ref.Namespace == s.namespace {
			own = append(own, pv)
		}
	}
	return own, nil
}

// secret makes or replaces a secret in the test's namespace.
func (s *scene) secret(name string, entries map[string]string) {
	s.t.Helper()
	if err := suite.putSecret(s.t.Context(), s.namespace, name, entries); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) deleteSecret(name string) {
	s.t.Helper()
	if err := suite.client.CoreV1().Secrets(s.namespace).Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(time.Second) // for which the controller may share what it has read (docs/architecture.md)
}

// eventually repeats check until it succeeds, and ends the test, telling all
// that is known, when it does not.
func (s *scene) eventually(what string, check func(context.Context) error) {
	s.t.Helper()
	if !s.eventuallyIn(s.t.Context(), pollInterval, patience, what, check) {
		s.t.FailNow()
	}
}

func (s *scene) eventuallyIn(ctx context.Context, interval, patience time.Duration, what string, check func(context.Context) error) bool {
	s.t.Helper()
	begin, last := time.Now(), errors.New("no attempt")
	err := wait.PollUntilContextTimeout(ctx, interval, patience, true, func(ctx context.Context) (bool, error) {
		if err := check(ctx); ctx.Err() == nil {
			last = err
		}
		return last == nil, nil
	})
	if err != nil {
		s.t.Errorf("waited in vain until %s: %v\n(meanwhile %s)\n%s", what, last, suite.machine.since(begin), s.report())
	}
	return err == nil
}

// events lists what has been told about an object.
func events(ctx context.Context, uid types.UID) ([]corev1.Event, error) {
	selector := fields.OneTermEqualSelector("involvedObject.uid", string(uid)).String()
	list, err := suite.client.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// event waits for an event about an object that has the reason and contains all
// parts, and returns its message.
func (s *scene) event(about metav1.Object, reason string, parts ...string) (message string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("event %s about %s contains %q", reason, about.GetName(), parts), func(ctx context.Context) error {
		told, err := events(ctx, about.GetUID())
		if err != nil {
			return err
		}
		for _, event := range told {
			if event.Reason == reason && containsAll(event.Message, parts) {
				message = event.Message
				return nil
			}
		}
		return fmt.Errorf("none of %d events does", len(told))
	})
	return message
}

// told is how often something has been told about an object.
func (s *scene) told(about metav1.Object, reason string) (count int32) {
	s.t.Helper()
	all, err := events(s.t.Context(), about.GetUID())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, event := range all {
		if event.Reason == reason {
			count += event.Count
		}
	}
	return count
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// report is what a developer would look at first: claims, volumes, events, log.
func (s *scene) report() string {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	var report strings.Builder
	objects, err := kubectl(ctx, "get", "pvc", "-n", s.namespace, "-o", "yaml", "--show-managed-fields=false")
	fmt.Fprintln(&report, objects, err)
	told, err := kubectl(ctx, "get", "events", "-n", s.namespace, "--sort-by=.lastTimestamp")
	fmt.Fprintln(&report, told, err)
	volumes, err := s.volumes(ctx)
	if err != nil {
		fmt.Fprintln(&report, err)
	}
	for _, pv := range volumes {
		told, err := events(ctx, pv.UID)
		fmt.Fprintln(&report, pv.Name, pv.Status.Phase, pv.Spec.Capacity.Storage(), err)
		for _, event := range told {
			fmt.Fprintln(&report, "  ", event.Reason, event.Message)
		}
	}
	serving := s.controller
	if serving == nil {
		serving = suite.controller
	}
	fmt.Fprintln(&report, serving.logTail())
	report.WriteString(suite.daemons())
	return report.String()
}
