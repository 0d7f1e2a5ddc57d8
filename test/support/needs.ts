import { spawnSync } from 'node:child_process';
import { env } from 'node:process';
import { fileURLToPath } from 'node:url';

/** An independent implementation of Amazon SES (PyPI `moto`), where `.ci/run` puts it. */
export const MOTO_SERVER = fileURLToPath(new URL('../../node_modules/.cache/moto/bin/moto_server', import.meta.url));

/** The Python of a folder with Django in it (PyPI `django`), where `.ci/run` puts it. */
export const DJANGO_PYTHON = fileURLToPath(new URL('../../node_modules/.cache/django/bin/python', import.meta.url));

/** The folder of `aws` (PyPI `awscli`), where `.ci/run` puts it. */
export const AWS_FOLDER = fileURLToPath(new URL('../../node_modules/.cache/awscli/bin', import.meta.url));

/** Helm, kubectl and an API server, where `tools/chart/tools.sh --server` puts them. */
export const K8S_TOOLS = fileURLToPath(new URL('../../.cache/k8s-tools/bin', import.meta.url));

/** Packages of Java by the client that sends with them (Maven), and WordPress (Debian), where `.ci/run` puts them. */
export const JAVA_FOLDER = fileURLToPath(new URL('../../node_modules/.cache/java', import.meta.url));
export const WORDPRESS = fileURLToPath(new URL('../../node_modules/.cache/wordpress', import.meta.url));

/** Where `.ci/run` puts it, too. */
export const PYTEST = fileURLToPath(new URL('../../node_modules/.cache/pytest/bin/pytest', import.meta.url));

/** Succeeds where packages are there, and a compiler. */
function javac(client: string): readonly [string, ...string[]] {
  return ['/bin/sh', '-c', `ls '${JAVA_FOLDER}/${client}'/*.jar && javac --version && keytool -help`];
}

/** What a test may need beyond the project itself, and the command that succeeds where it is there. */
const PROBES = {
  python3: ['python3', '-c', 'import smtplib, ssl'],
  curl: ['curl', '--version'],
  jq: ['jq', '--version'],
  aws: [`${AWS_FOLDER}/aws`, '--version'],
  swaks: ['/bin/sh', '-c', 'swaks --support 2>&1 | grep -q "TLS supported"'],
  bash: ['bash', '--version'],
  zsh: ['zsh', '--version'],
  fish: ['fish', '--version'],
  openssl: ['openssl', 'version'],
  procTcp: ['/bin/sh', '-c', 'test -r /proc/net/tcp'],
  devFull: ['/bin/sh', '-c', 'test -c /dev/full'],
  helm: [`${K8S_TOOLS}/helm`, 'version'],
  kubernetes: [`${K8S_TOOLS}/kube-apiserver`, '--version'],
  msmtp: ['msmtp', '--version'],
  go: ['go', 'version'],
  django: [DJANGO_PYTHON, '-c', 'import django'],
  rails: ['ruby', '-e', 'require "rails"; require "action_mailer/railtie"'],
  phpmailer: ['php', '/usr/share/php/libphp-phpmailer/autoload.php'],
  symfonyMailer: ['php', '/usr/share/php/Symfony/Component/Mailer/autoload.php'],
  wordpress: ['php', `${WORDPRESS}/wp-includes/version.php`],
  spring: javac('spring'),
  keycloak: javac('keycloak'),
  moto: [MOTO_SERVER, '--help'],
  pgbouncer: ['/usr/sbin/pgbouncer', '--version'],
  chromium: ['/usr/bin/chromium', '--version'],
  pytest: [PYTEST, '--version'],
  postgres15: ['/usr/lib/postgresql/15/bin/postgres', '--version'],
} as const;

/**
 * For a test's `skip` option: `test('…', { skip: needs('python3') }, …)`. False where it is there, else the reason to
 * skip; with SMTP_RELAY_TEST_REQUIRE_ALL=1, as `.ci/run` sets it, a missing one is an error instead.
 */
export function needs(...names: (keyof typeof PROBES)[]): false | string {
  const missing = names.filter(name => {
    const [command, ...args] = PROBES[name];
    return spawnSync(command, args, { stdio: 'ignore', timeout: 60_000 }).status !== 0;
  });
  if (missing.length === 0) return false;
  const reason = `needs ${missing.join(', ')}, not found on this machine`;
  const { SMTP_RELAY_TEST_REQUIRE_ALL: requireAll } = env;
  if (requireAll === '1') throw new Error(reason);
  return reason;
}
