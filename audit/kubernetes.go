package audit

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubernetesclient "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"

	"ceph.example/ceph-provisioner/pvspec"
)

// Kubernetes reads objects as they are now: from the API server's storage, not a cache.
type Kubernetes interface {
	Classes(ctx context.Context) ([]storagev1.StorageClass, error)
	Volumes(ctx context.Context, each func(*corev1.PersistentVolume)) error
	Claims(ctx context.Context, each func(*corev1.PersistentVolumeClaim)) error
	// Secrets are those of a namespace that carry our label, without what is in them.
	Secrets(ctx context.Context, namespace string) ([]metav1.ObjectMeta, error)
	// Secret returns the API server's error where there is none.
	Secret(ctx context.Context, ref pvspec.SecretRef) (metav1.ObjectMeta, error)
}

// NewKubernetes reads from an API server, page by page.
func NewKubernetes(client kubernetesclient.Interface) Kubernetes { return reader{client} }

type reader struct{ client kubernetesclient.Interface }

func (r reader) Classes(ctx context.Context) ([]storagev1.StorageClass, error) {
	list, err := r.client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list StorageClasses: %w", err)
	}
	return list.Items, nil
}

func (r reader) Volumes(ctx context.Context, each func(*corev1.PersistentVolume)) error {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return r.client.CoreV1().PersistentVolumes().List(ctx, options)
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		each(object.(*corev1.PersistentVolume))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list PersistentVolumes: %w", err)
	}
	return nil
}

func (r reader) Claims(ctx context.Context, each func(*corev1.PersistentVolumeClaim)) error {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return r.client.CoreV1().PersistentVolumeClaims(metav1.NamespaceAll).List(ctx, options)
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		each(object.(*corev1.PersistentVolumeClaim))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list claims: %w", err)
	}
	return nil
}

// ours are the secrets that were made for volumes.
const ours = "app.kubernetes.io/managed-by=ceph-provisioner"

// Answers that hold no keys: the API server leaves out what is in the secrets.
const (
	metadataOfOne  = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	metadataOfMany = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

func (r reader) Secrets(ctx context.Context, namespace string) (secrets []metav1.ObjectMeta, err error) {
	const pageSize = "500"
	for next := ""; ; {
		var page metav1.PartialObjectMetadataList
		request := r.client.CoreV1().RESTClient().Get().Namespace(namespace).Resource("secrets").
			Param("labelSelector", ours).Param("limit", pageSize).Param("continue", next)
		if err := read(ctx, request, metadataOfMany, &page); err != nil {
			return nil, fmt.Errorf("list the secrets of namespace %s: %w", namespace, err)
		}
		for _, each := range page.Items {
			secrets = append(secrets, each.ObjectMeta)
		}
		if next = page.Continue; next == "" {
			return secrets, nil
		}
	}
}

func (r reader) Secret(ctx context.Context, ref pvspec.SecretRef) (metav1.ObjectMeta, error) {
	var one metav1.PartialObjectMetadata
	request := r.client.CoreV1().RESTClient().Get().Namespace(ref.Namespace).Resource("secrets").Name(ref.Name)
	err := read(ctx, request, metadataOfOne, &one)
	return one.ObjectMeta, err
}

func read(ctx context.Context, request *rest.Request, accept string, into any) error {
	body, err := request.SetHeader("Accept", accept).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return json.NewDecoder(body).Decode(into)
}
