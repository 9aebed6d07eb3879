/** A lock on a folder: who has it, and who has lost it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isLock, lockHolder, takeLock, type FolderLock } from '../../src/servers/folder-lock.ts';
import { beganAt } from '../../src/servers/process-identity.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function taken(): FolderLock {
  const lock = takeLock(folder, 'lock');
  if (!isLock(lock)) throw new Error(`held by ${lock.pid}`);
  return lock;
}

it('is had by one, who says something of itself, until it is given back', () => {
  const lock = taken();
  lock.say({ url: 'here' });
  expect(takeLock(folder, 'lock')).toMatchObject({ pid: process.pid, says: { url: 'here' } });
  expect(lockHolder(folder, 'lock')).toMatchObject({ says: { url: 'here' } });
  lock.release();
  expect(lockHolder(folder, 'lock')).toBeNull();
  taken().release();
  expect(readdirSync(folder)).toEqual([]);
});

it('is lost by a process that is gone, and by one whose number another process has now', async () => {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: child.pid, began: null, says: { url: 'old' } }));
  expect(lockHolder(folder, 'lock')).toBeNull();
  taken().release();
  writeFileSync(
    join(folder, 'lock'),
    JSON.stringify({ pid: process.pid, began: `not ${beganAt(process.pid)}`, says: {} }),
  );
  taken().release();
});

it.each(['', '{"pid":', '{"pid":"1"}', 'null', '[]'])('is not held by a file that says %j', (text) => {
  writeFileSync(join(folder, 'lock'), text);
  taken().release();
});
