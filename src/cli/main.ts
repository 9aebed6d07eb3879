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

const args = process.argv.slice(2);
process.exitCode = await run(args);
// Whatever a broker's client or a connection that hangs still has open: a daemon that was told to stop is to be gone.
if (['relay', 'worker', 'start'].includes(args[0] ?? '')) process.exit();
