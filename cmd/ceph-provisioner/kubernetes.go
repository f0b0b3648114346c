package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"ceph.example/ceph-provisioner/killpoint"
	"ceph.example/ceph-provisioner/pvspec"
)

// newKubernetesClient changes nothing after the tenure.
func newKubernetesClient(o options, tenure *tenure) (kubernetes.Interface, error) {
	config, err := newKubernetesConfig(o)
	if err != nil {
		return nil, err
	}
	config.Wrap(killpoint.Transport)
	config.Wrap(tenure.guard)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	apart, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return eventsApart{client, newEvents(apart.Events(metav1.NamespaceAll))}, nil
}

// newLeaseClient is for the Lease alone, which must not wait behind other requests, nor
// for an answer longer than it may.
func newLeaseClient(o options) (kubernetes.Interface, error) {
	config, err := newKubernetesConfig(o)
	if err != nil {
		return nil, err
	}
	config.Timeout = o.leaderElection.renewDeadline / 2
	return kubernetes.NewForConfig(config)
}

func newKubernetesConfig(o options) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	config.QPS = float32(o.kubeAPIQPS)
	config.Burst = o.kubeAPIBurst
	config.WarningHandler = rest.NoWarnings{} // each PersistentVolume would log that in-tree volumes are deprecated
	config.UserAgent = "ceph-provisioner/" + version
	config.ContentType = runtime.ContentTypeProtobuf // what watches send takes half the time to read
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return config, nil
}

// eventsApart is a client whose events have limits of their own: those of many claims
// that fail must not delay what others need.
type eventsApart struct {
	kubernetes.Interface
	events *events
}

// CoreV1 implements [kubernetes.Interface].
func (c eventsApart) CoreV1() typedcorev1.CoreV1Interface {
	return coreEventsApart{c.Interface.CoreV1(), c.events}
}

type coreEventsApart struct {
	typedcorev1.CoreV1Interface
	events *events
}

// Events implements [typedcorev1.EventsGetter]. Recorders ask for all namespaces.
func (c coreEventsApart) Events(string) typedcorev1.EventInterface { return c.events }

// objects reads single objects from the API server.
type objects struct{ client kubernetes.Interface }

// Secret implements cephaccess.SecretReader. It reads the response as a stream:
// client-go logs the bodies of all other responses at --v=8 and above.
func (o objects) Secret(ctx context.Context, ref pvspec.SecretRef) (*corev1.Secret, error) {
	body, err := o.client.CoreV1().RESTClient().Get().
		Namespace(ref.Namespace).Resource("secrets").Name(ref.Name).
		SetHeader("Accept", "application/json").
		Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	secret := &corev1.Secret{}
	if err := json.NewDecoder(body).Decode(secret); err != nil {
		return nil, fmt.Errorf("the API server's answer is no secret (%T)", err) // the text of err may quote the answer
	}
	return secret, nil
}

// CreateSecret implements provisioner.Secrets.
func (o objects) CreateSecret(ctx context.Context, secret *corev1.Secret) error {
	return o.writeSecret(ctx, o.client.CoreV1().RESTClient().Post().Namespace(secret.Namespace).Resource("secrets"), secret)
}

// UpdateSecret implements provisioner.Secrets.
func (o objects) UpdateSecret(ctx context.Context, secret *corev1.Secret) error {
	request := o.client.CoreV1().RESTClient().Put().Namespace(secret.Namespace).Resource("secrets").Name(secret.Name)
	return o.writeSecret(ctx, request, secret)
}

// DeleteSecret implements provisioner.Secrets.
func (o objects) DeleteSecret(ctx context.Context, secret *corev1.Secret) error {
	request := o.client.CoreV1().RESTClient().Delete().Namespace(secret.Namespace).Resource("secrets").Name(secret.Name)
	return o.writeSecret(ctx, request, &metav1.DeleteOptions{
		TypeMeta:      metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		Preconditions: metav1.NewUIDPreconditions(string(secret.UID)),
	})
}

// writeSecret sends a body as a stream and drops the response unread, because
// client-go logs both otherwise.
func (o objects) writeSecret(ctx context.Context, request *rest.Request, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return errors.New("a secret can't be written as JSON")
	}
	response, err := request.
		SetHeader("Accept", "application/json").
		SetHeader("Content-Type", "application/json").
		Body(io.Reader(bytes.NewReader(text))).
		Stream(ctx)
	if err != nil {
		return err
	}
	return response.Close()
}

// StorageClass implements cephaccess.ClassReader.
func (o objects) StorageClass(ctx context.Context, name string) (*storagev1.StorageClass, error) {
	class, err := o.client.StorageV1().StorageClasses().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return class, err
}
