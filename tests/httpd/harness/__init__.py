"""What the tests against the real httpd are made of: servers, a backend, load, and readers."""
