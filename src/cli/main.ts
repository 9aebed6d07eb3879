#!/usr/bin/env node
/**
 * The executable `holdfast`. Everything else is in program.ts.
 */
import { runProgram } from './program.ts';

const args = process.argv.slice(2);
const isDaemon = ['relay', 'worker', 'start', 'dev'].includes(args[0] ?? '');

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever reads the log of a daemon may go away, and the daemon has work under way.
  if (isDaemon) return;
  // A reader that closes the pipe (`holdfast outbox ls | head`) has had enough.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
if (isDaemon) process.stderr.on('error', () => {});

process.exitCode = await runProgram(args);
// Whatever a broker's client or a connection that hangs still has open: a daemon that was told to stop is to be gone.
if (isDaemon) process.exit();
