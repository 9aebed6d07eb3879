#!/usr/bin/env node
/**
 * `npm create holdfast` is `npx holdfast init`, with the same flags: npm create holdfast -- --framework fastify
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);
const manifest = require.resolve('holdfast/package.json');
const { bin } = require(manifest);
process.argv.splice(2, 0, 'init');
await import(pathToFileURL(join(dirname(manifest), bin.holdfast)).href);
