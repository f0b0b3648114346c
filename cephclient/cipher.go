package cephclient

import (
	"encoding/base64"
	"encoding/binary"
)

// Cipher is what a cephx key is for. It stands in front of the key (CryptoKey::encode in Ceph's
// src/auth/Crypto.cc).
type Cipher uint16

const (
	// AES is the cipher of all keys of before August 2026.
	AES Cipher = 1
	// AES256K came with Ceph 19.2.6 and 20.2.4, which make no other keys unless they are told
	// to (CVE-2025-30156). Libraries of before can't read them, nor can most kernels before 7.0.
	AES256K Cipher = 2
)

// Cipher is 0 for what is no key.
func (s Secret) Cipher() Cipher {
	raw, err := base64.StdEncoding.DecodeString(s.text)
	if err != nil || len(raw) < 2 {
		return 0
	}
	return Cipher(binary.LittleEndian.Uint16(raw))
}
