import { get } from 'node:http';
import process from 'node:process';

/*
 * The image's HEALTHCHECK: 0 where /livez answers 200, 1 otherwise. Docker and podman run it; Kubernetes has probes of its own.
 */

const { SMTP_RELAY_HTTP_HOST: host, SMTP_RELAY_HTTP_PORT: port } = process.env;
/** A listener on all addresses is reached by the local one. */
const hostname = !host || host === '0.0.0.0' || host === '::' ? 'localhost' : host;

// Port 0 means that there is no such listener; then that the process lives is all that is known.
if (port !== '0') {
  const request = get({ hostname, port: port || 8080, path: '/livez', timeout: 2_500, agent: false }, response => {
    process.exitCode = response.statusCode === 200 ? 0 : 1;
    response.resume();
  });
  request.on('timeout', () => request.destroy(new Error('no answer in time')));
  request.on('error', error => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
