package goceph

import "time"

// deniedFor is how long what the identity's caps do not allow is not tried again where
// there is another way: each try costs a connection, or is a line in the cluster's log.
const deniedFor = 10 * time.Minute

// isDenied reports whether the session's identity was lately not allowed to do something.
// The key of that has the identity in it.
func (s *session) isDenied(key string) bool {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	since, denied := s.pool.denied[key]
	return denied && time.Since(since) < deniedFor
}

func (s *session) noteDenied(key string) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.pool.denied[key] = time.Now()
}

// isAllowed reports whether the session's identity was ever seen to do something.
func (s *session) isAllowed(key string) bool {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.pool.allowed[key]
}

func (s *session) noteAllowed(key string) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.pool.allowed[key] = true
}

func (s *session) forgetDenied(key string) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	delete(s.pool.denied, key)
}
