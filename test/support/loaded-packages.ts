/** A module for Node to begin with. */
const MODULE = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  const names = new Set();
  registerHooks({
    load(url, context, next) {
      names.add(/.*node_modules.([^/]+)/.exec(url)?.[1]);
      return next(url, context);
    },
  });
  process.on('exit', () => process.stderr.write([...names].join('\\n') + '\\n'));
`)}`;

/** Environment of a process that at its end writes the packages that it has loaded to standard error, one a line. */
export const TELLS_PACKAGES = { NODE_OPTIONS: `--import "${MODULE}"` };

/** Those that take memory or time to load, and are for some of what the program does. */
const HEAVY = ['typebox', 'fastify', 'smtp-server', 'mailparser', 'nodemailer', 'node-pg-migrate'];

/** Which of the heavy packages were loaded, as that process told. @param stderr of it, whole */
export function heavyPackages(stderr: string): string[] {
  const loaded = new Set(stderr.split('\n'));
  return HEAVY.filter(name => loaded.has(name));
}
