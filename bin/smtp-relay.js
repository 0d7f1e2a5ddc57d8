#!/usr/bin/env node
import { existsSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runOnNode24 } from './node24.js';

const fileOf = path => fileURLToPath(new URL(path, import.meta.url));
/** A checkout has commands that the image leaves out. */
const [dev, relay] = ['../dev/main.ts', '../src/main.ts'].map(fileOf);
await runOnNode24(existsSync(dev) ? dev : relay, process.argv.slice(2));
