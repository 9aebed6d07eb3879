#!/usr/bin/env node
/**
 * The executable `holdfast`. Everything else is in program.ts.
 */
import { run } from './program.ts';

// A reader that closes the pipe (`holdfast outbox ls | head`) has had enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2));
