package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// audits look at the whole run when all tests have ended, parallel ones included.
var audits = []struct {
	name  string
	check func() error
}{
	{"nothing may be left in Ceph or Kubernetes", auditLeftovers},
	{"the service account must not be refused anything", auditPermissions},
	{"keys must be nowhere but in secrets", auditKeys},
}

// leftoverPatience includes the mgr's work on the large images.
const leftoverPatience = 6 * time.Minute

func auditLeftovers() error {
	var left []string
	var failed error
	ctx, cancel := context.WithTimeout(context.Background(), leftoverPatience)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		now, err := suite.leftovers(ctx)
		if err != nil {
			failed = err
			return false, nil
		}
		left = slices.DeleteFunc(now, func(each string) bool { return slices.Contains(suite.leftBefore, each) })
		return len(left) == 0, nil
	})
	if len(left) > 0 {
		return fmt.Errorf("%d things are left: %s", len(left), strings.Join(left[:min(20, len(left))], ", "))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", err, failed)
	}
	return nil
}

// leftovers lists everything that volumes consist of, however it is called.
func (e *environment) leftovers(ctx context.Context) ([]string, error) {
	var all []string
	for _, ceph := range e.ceph {
		for _, list := range []func(context.Context) ([]string, error){ceph.allImageObjects, ceph.allSubvolumes, ceph.directories, ceph.volumeUsers} {
			found, err := list(ctx)
			if err != nil {
				return nil, err
			}
			for _, each := range found {
				all = append(all, ceph.Name+": "+each)
			}
		}
	}
	secrets, err := e.client.CoreV1().Secrets(volumeSecrets).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, secret := range secrets.Items {
		all = append(all, "secret "+secret.Name)
	}
	volumes, err := e.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, pv := range volumes.Items {
		all = append(all, "PersistentVolume "+pv.Name)
	}
	return all, nil
}

// allImageObjects is imageObjects of the pools that tests share.
func (c *cephCluster) allImageObjects(ctx context.Context) ([]string, error) {
	return c.imageObjects(ctx, c.RBDPool, c.RBDDataPool)
}

// imageObjects lists the RADOS objects of images, which stand for images, halves
// of images, trash, and space that was not given back.
func (c *cephCluster) imageObjects(ctx context.Context, pools ...string) ([]string, error) {
	var found []string
	for _, pool := range pools {
		listed, err := output(ctx, c.Env(), "rados", "--pool", pool, "ls")
		if err != nil {
			return nil, err
		}
		for object := range strings.FieldsSeq(listed) {
			for _, prefix := range []string{"rbd_id.", "rbd_header.", "rbd_data.", "rbd_object_map."} {
				if strings.HasPrefix(object, prefix) {
					found = append(found, pool+"/"+object)
				}
			}
		}
		trashed, err := c.trash(ctx, pool)
		if err != nil {
			return nil, err
		}
		for _, name := range trashed {
			found = append(found, pool+"'s trash: "+name)
		}
	}
	return found, nil
}

// allSubvolumes lists those of all groups, and what the mgr has yet to purge.
func (c *cephCluster) allSubvolumes(context.Context) ([]string, error) {
	groups, err := c.subvolumes("")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, group := range groups {
		if strings.HasSuffix(group, ".meta") {
			continue // of a subvolume that is listed itself
		}
		names, err := c.subvolumes(group)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if name != ".deleting" {
				found = append(found, "subvolume "+group+"/"+name)
				continue
			}
			// The folder of old volumes, directories of that group.
			unpurged, err := c.entries("volumes", group, name)
			if err != nil {
				return nil, err
			}
			for _, each := range unpurged {
				found = append(found, "unpurged "+group+"/"+each)
			}
		}
	}
	return found, nil
}

// span is a time in which an API server that has not read its roles yet refuses everybody.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return t.After(s.from) && t.Before(s.to) }

// permission is what a rule of RBAC grants.
type permission struct{ verb, group, resource string }

// auditPermissions reads the API server's own log of requests: none of the service
// account's was refused, and, in a run of all tests, there is none that it never makes.
func auditPermissions() error {
	used, refused, err := requests("system:serviceaccount:" + systemNamespace + ":" + serviceAccount)
	switch {
	case err != nil:
		return err
	case len(used) == 0:
		return errors.New("the audit log has no request of the service account: the tests ran as somebody else")
	case len(refused) > 0:
		return fmt.Errorf("RBAC forbids %v", refused)
	case isSet("test.run") || suite.recovers:
		return nil // other tests are those that use the rest
	}
	granted, err := grants(context.Background())
	if err != nil {
		return err
	}
	var idle []permission
	for each := range granted {
		if !used[each] {
			idle = append(idle, each)
		}
	}
	if len(idle) > 0 {
		return fmt.Errorf("the manifests grant what is never used: %v", idle)
	}
	return nil
}

// requests tells what somebody has asked the API server for during this run.
func requests(user string) (used map[permission]bool, refused []string, err error) {
	file, err := os.Open(suite.cluster.Kubernetes.AuditLog)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if _, err := file.Seek(suite.auditStart, io.SeekStart); err != nil {
		return nil, nil, err
	}
	used = map[permission]bool{}
	for lines := json.NewDecoder(file); ; {
		var request struct {
			User        struct{ Username string }
			Verb        string
			RequestURI  string
			ObjectRef   struct{ APIGroup, Resource, Subresource string }
			Annotations map[string]string
			Received    time.Time `json:"requestReceivedTimestamp"`
		}
		if err := lines.Decode(&request); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // of a line that is just being written
			return used, refused, nil
		} else if err != nil {
			return nil, nil, err
		}
		if request.User.Username != user {
			continue
		}
		resource := request.ObjectRef.Resource
		if sub := request.ObjectRef.Subresource; sub != "" {
			resource += "/" + sub
		}
		used[permission{request.Verb, request.ObjectRef.APIGroup, resource}] = true
		// Not the status: 403 is also the answer to an event that comes too late for
		// its namespace.
		starting := slices.ContainsFunc(suite.unready, func(s span) bool { return s.has(request.Received) })
		asked := request.Verb + " " + request.RequestURI
		if request.Annotations["authorization.k8s.io/decision"] == "forbid" && !starting && !slices.Contains(refused, asked) {
			refused = append(refused, asked)
		}
	}
}

// grants lists what the roles of the manifests allow.
func grants(ctx context.Context) (map[permission]bool, error) {
	selector := metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=ceph-provisioner"}
	wide, err := suite.client.RbacV1().ClusterRoles().List(ctx, selector)
	if err != nil {
		return nil, err
	}
	narrow, err := suite.client.RbacV1().Roles(metav1.NamespaceAll).List(ctx, selector)
	if err != nil {
		return nil, err
	}
	var rules []rbacv1.PolicyRule
	for _, role := range wide.Items {
		rules = append(rules, role.Rules...)
	}
	for _, role := range narrow.Items {
		rules = append(rules, role.Rules...)
	}
	granted := map[permission]bool{}
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					granted[permission{verb, group, resource}] = true
				}
			}
		}
	}
	if len(granted) == 0 {
		return nil, errors.New("no role has the label of the manifests")
	}
	return granted, nil
}
