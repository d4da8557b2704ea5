package bodydigest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"
)

// BodyMatches tells whether every digest of a Content-Digest header is that of the body.
func BodyMatches(contentDigest string, body []byte) bool {
	for _, member := range strings.Split(contentDigest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(member), "=")
		var digest []byte
		switch name {
		case "sha-256":
			sum := sha256.Sum256(body)
			digest = sum[:]
		case "sha-512":
			sum := sha512.Sum512(body)
			digest = sum[:]
		default:
			return false
		}
		if value != ":"+base64.StdEncoding.EncodeToString(digest)+":" {
			return false
		}
	}
	return true
}
