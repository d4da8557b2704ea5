// The OpenSSH file formats.
