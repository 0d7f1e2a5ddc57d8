#!/usr/bin/env node
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runOnNode24 } from './node24.js';

await runOnNode24(fileURLToPath(new URL('../src/main.ts', import.meta.url)), process.argv.slice(2));
