import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

/*
 * Fills the folder that NODE_COMPILE_CACHE names, when the image is built: loads every module of the program, but runs none
 * of it.
 *
 *     node compile.js <the folder src>
 */

const folder = process.argv[2];
// What `main.ts` runs; anything longer would need a database.
process.argv.splice(1, Infinity, join(folder, 'main.ts'), '--version');
const files = readdirSync(folder, { recursive: true }).filter(file => file.endsWith('.ts'));
const loaded = await Promise.allSettled(files.map(file => import(pathToFileURL(join(folder, file)).href)));
const failed = loaded.flatMap(({ reason }, index) => (reason ? [`${files[index]}: ${reason.message}`] : []));
// A thread's module misses its parent here. It is compiled all the same.
console.log(`compiled ${files.length} modules; not run: ${failed.join('; ') || 'none'}`);
process.exit(0);
