// Package cephclient is the contract between Kubernetes and Ceph: what a
// volume is, what can be done with it, and how Ceph's refusals read. It knows
// neither Kubernetes nor go-ceph.
//
// The policy lives here (adopt instead of create twice, grow and never shrink,
// refuse to delete what is in use) and is written once over narrow seams,
// [ImageStore] and [CephFSStore], which package goceph fills with calls to
// a real cluster.
package cephclient
