import { spawnSync } from 'node:child_process';
import { chmod, readdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { execPath } from 'node:process';
import { DJANGO_PYTHON, JAVA_FOLDER, type needs, WORDPRESS } from '../../support/needs.ts';

/** A client that runs here, and how what its section says is run. */
export interface Client {
  readonly name: string;
  readonly needs: Parameters<typeof needs>[0][];
  /** @param block as the guide has it, but for the relay's host, port and key */
  readonly command: (block: string, run: Run) => Promise<readonly [string, ...string[]]>;
  readonly stdin?: string;
}

export interface Run {
  /** Of the run's own. */
  readonly folder: string;
  readonly key: string;
  /** The authority of the relay's certificate, PEM. */
  readonly caPath: string;
}

const here = (name: string) => join(import.meta.dirname, name);

async function fileIn(folder: string, name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

export const CLIENTS: readonly Client[] = [
  {
    name: 'Nodemailer',
    needs: [],
    command: async block => [execPath, '--input-type=module', '--eval', block],
  },
  {
    name: 'smtplib',
    needs: ['python3'],
    command: async block => ['python3', '-c', block],
  },
  {
    name: 'Django',
    needs: ['django'],
    command: async (block, { folder }) => {
      await fileIn(folder, 'settings.py', block);
      const send = `from django.core.mail import send_mail
send_mail('Hello from Django', 'Sent via SMTP relay', None, ['recipient@example.com'])`;
      const args = `import sys; sys.path.insert(0, ${JSON.stringify(folder)})\n`;
      return [DJANGO_PYTHON, '-c', `${args}import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n${send}`];
    },
  },
  { name: 'Go', needs: ['go'], command: (block, { folder }) => goRun(folder, block) },
  {
    name: 'go-mail',
    needs: ['go'],
    command: (block, { folder }) => goRun(folder, block, 'require github.com/wneessen/go-mail v0.7.2\n'),
  },
  {
    name: 'Rails',
    needs: ['rails'],
    command: async (block, { folder }) => ['ruby', here('rails.rb'), await fileIn(folder, 'production.rb', block)],
  },
  {
    name: 'Laravel',
    needs: ['symfonyMailer'],
    command: async (block, { folder }) => ['php', here('laravel.php'), await fileIn(folder, 'laravel.env', block)],
  },
  {
    name: 'Symfony',
    needs: ['symfonyMailer'],
    command: async (block, { folder }) => ['php', here('symfony.php'), await fileIn(folder, 'symfony.env', block)],
  },
  {
    name: 'Spring Boot',
    needs: ['spring'],
    command: async (block, run) =>
      java('spring', 'Application.java', run, [
        `--spring.config.location=${await fileIn(run.folder, 'application.properties', block)}`,
        '--spring.main.banner-mode=off',
      ]),
  },
  {
    name: 'PHPMailer',
    needs: ['phpmailer'],
    command: async (block, { folder }) => ['php', here('phpmailer.php'), await fileIn(folder, 'phpmailer.php', block)],
  },
  {
    name: 'WordPress',
    needs: ['wordpress'],
    command: async (block, { folder, key }) => [
      ...(['php', here('wordpress.php'), WORDPRESS] as const),
      ...[await fileIn(folder, 'relay.php', block), key],
    ],
  },
  {
    name: 'Keycloak',
    needs: ['keycloak'],
    command: async (block, run) => {
      const { smtpServer } = JSON.parse(block) as { smtpServer: Record<string, string> };
      return java(
        'keycloak',
        'Realm.java',
        run,
        Object.entries(smtpServer).map(([name, value]) => `${name}=${value}`),
      );
    },
  },
  {
    name: 'msmtp',
    needs: ['msmtp'],
    command: async (block, { folder }) => {
      const path = await fileIn(folder, 'msmtprc', block);
      // It holds the key, and msmtp reads no such file that others may read.
      await chmod(path, 0o600);
      return ['msmtp', '-C', path, 'recipient@example.com'];
    },
    stdin: 'From: hello@yourdomain.com\nTo: recipient@example.com\nSubject: Hello from msmtp\n\nSent via SMTP relay\n',
  },
  {
    name: 'swaks',
    needs: ['swaks'],
    command: async block => ['/bin/sh', '-c', block],
  },
];

/** A program of one file, in a module of its own. */
async function goRun(folder: string, program: string, requires = ''): Promise<readonly [string, ...string[]]> {
  await fileIn(folder, 'go.mod', `module hello\n\ngo 1.24\n\n${requires}`);
  await fileIn(folder, 'main.go', program);
  return ['go', 'run', '-C', folder, '-mod=mod', 'main.go'];
}

/** A program of one file, with the packages that `.ci/run` has put beside others, in a JVM that trusts the authority. */
async function java(
  client: string,
  file: string,
  { folder, caPath }: Run,
  args: readonly string[],
): Promise<readonly [string, ...string[]]> {
  const store = join(folder, `${client}.p12`);
  const made = spawnSync('keytool', [
    ...['-importcert', '-noprompt', '-alias', 'relay', '-file', caPath],
    ...['-keystore', store, '-storetype', 'PKCS12', '-storepass', 'changeit'],
  ]);
  if (made.status !== 0) throw new Error(`keytool: ${made.stdout}${made.stderr}`);
  const packages = join(JAVA_FOLDER, client);
  const jars = (await readdir(packages)).filter(name => name.endsWith('.jar')).map(name => join(packages, name));
  return [
    'java',
    `-Djavax.net.ssl.trustStore=${store}`,
    '-Djavax.net.ssl.trustStorePassword=changeit',
    ...['-cp', jars.join(delimiter), join(import.meta.dirname, client, file), ...args],
  ];
}
