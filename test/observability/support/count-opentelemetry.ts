import { writeSync } from 'node:fs';
import { registerHooks } from 'node:module';

/**
 * Loaded before the program: tells at its end, by a line like those of the log, how many modules of OpenTelemetry it loaded.
 * Its bare interfaces do not count: prom-client needs them.
 */
let modules = 0;
registerHooks({
  load(url, context, nextLoad) {
    if (/\/@opentelemetry\/(?!api\/)/.test(url)) modules += 1;
    return nextLoad(url, context);
  },
});
process.on('exit', () => writeSync(1, `${JSON.stringify({ level: 30, msg: 'opentelemetry', modules })}\n`));
