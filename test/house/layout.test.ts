/**
 * The rooms of the house: who may import whom. docs/architecture.md tells why.
 */
import { describe, expect, it } from 'vitest';
import { relativeImports, sourceFiles } from './source-files.ts';

/** Lower floors know nothing of higher ones. Rooms on one floor do not know each other. */
const FLOORS: readonly (readonly string[])[] = [
  ['errors'],
  ['runtime'],
  ['message'],
  ['postgres', 'transport', 'servers'],
  ['outbox', 'inbox'],
  ['relay', 'saga'],
  ['operations'],
  ['dashboard', 'adapters'],
  ['cli'],
];
/**
 * Rooms that have rooms, lowest first. What stands at the top of a room is above all of them: its doors. Where the top is what its rooms
 * share, it stands in the list itself, as ''.
 */
const SUB_ROOMS: Readonly<Record<string, readonly string[]>> = {
  transport: ['', 'redis', 'bullmq', 'nats', 'redis-streams', 'rabbitmq', 'kafka', 'webhooks'],
  relay: ['log', 'subscription', 'delivery', 'maintenance'],
  inbox: ['handlers', 'window', 'idempotency', 'stores', 'delivery'],
  saga: [
    'definition',
    'journal',
    'store',
    'store/postgres',
    'protocol',
    'kinds',
    'state',
    'replay',
    'run',
    'decide',
    'engine',
    'client',
    'worker',
    'participant',
  ],
  operations: [
    'databases',
    'reads',
    'health',
    'parked',
    'relay',
    'sagas',
    'path',
    'jobs',
    'import',
    'redaction',
    'activity',
    'alerts',
    'doctor',
  ],
  adapters: ['services', 'http', 'nest'],
  dashboard: ['server', 'page/app', 'page/parts', 'page/views', 'page'],
};
/** For users: the public names, and what their tests need. Nothing inside imports them. */
const DOORS = new Set(['index', 'doors', 'testing']);

const files = sourceFiles('src');
const roomOf = (path: string): string => /^src\/([^/.]+)/.exec(path)?.[1] ?? '';
const floorOf = (room: string): number => FLOORS.findIndex((floor) => floor.includes(room));

/** Null for rooms without rooms; -1 for one that is not in the plan. */
function subRoomOf(path: string): { readonly room: string; readonly floor: number } | null {
  const [, room = '', folder = ''] = /^src\/([^/.]+)\/(?:(.*)\/)?[^/]+$/.exec(path) ?? [];
  const plan = SUB_ROOMS[room];
  if (plan === undefined) return null;
  return { room, floor: folder === '' && !plan.includes('') ? plan.length : plan.indexOf(folder) };
}

describe('the layout of src', () => {
  it('has only rooms that stand in the plan', () => {
    const rooms = new Set(files.map(({ path }) => roomOf(path)));
    expect([...rooms].filter((room) => floorOf(room) < 0 && !DOORS.has(room))).toEqual([]);
  });

  it('lets imports go down only', () => {
    const wrong = files.flatMap((file) => {
      const from = roomOf(file.path);
      return relativeImports(file)
        .filter((target) => {
          const to = roomOf(target);
          if (to === from) return false;
          if (DOORS.has(from)) return to === 'index' || to === 'cli';
          return DOORS.has(to) || floorOf(to) >= floorOf(from);
        })
        .map((target) => `${file.path} -> ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it('lets imports between the rooms of a room go down only', () => {
    const wrong = files.flatMap((file) => {
      const from = subRoomOf(file.path);
      if (from === null) return [];
      return relativeImports(file)
        .filter((target) => {
          const to = subRoomOf(target);
          return to !== null && to.room === from.room && to.floor > from.floor;
        })
        .map((target) => `${file.path} -> ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it('has only rooms within rooms that stand in the plan', () => {
    const strange = files.filter(({ path }) => subRoomOf(path)?.floor === -1);
    expect(strange.map(({ path }) => path)).toEqual([]);
  });

  it('imports nothing from outside src', () => {
    const wrong = files.flatMap((file) => relativeImports(file).filter((target) => !target.startsWith('src/')));
    expect(wrong).toEqual([]);
  });

  it.each(['src', 'sagas', 'examples', 'bench', 'demo', 'test'])('has no cycles in %s, not even of types', (folder) => {
    expect(findCycle(new Map(sourceFiles(folder).map((file) => [file.path, relativeImports(file)])))).toEqual([]);
  });

  it('would find a cycle', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['c']],
      ['c', ['b']],
    ]);
    expect(findCycle(graph)).toEqual(['b', 'c', 'b']);
  });

  it('has no barrels but the doors', () => {
    const onlyReexports = (code: string): boolean =>
      code.replaceAll(/export\s+(type\s+)?(\*(\s+as\s+\w+)?|\{[^}]*\})\s+from\s+'[^']+';?/g, '').trim() === '';
    const wrong = files.filter(({ path, code }) => onlyReexports(code) && !DOORS.has(roomOf(path)));
    expect(wrong.map(({ path }) => path)).toEqual([]);
    const starred = files.filter(({ code }) => /export\s+\*\s+from/.test(code));
    expect(starred.map(({ path }) => path)).toEqual([]);
  });
});

/** The files of one cycle, the first repeated at the end; empty when there is none. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const done = new Set<string>();
  const visit = (node: string, trail: readonly string[]): readonly string[] => {
    if (trail.includes(node)) return [...trail.slice(trail.indexOf(node)), node];
    if (done.has(node)) return [];
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next, [...trail, node]);
      if (cycle.length > 0) return cycle;
    }
    done.add(node);
    return [];
  };
  for (const node of graph.keys()) {
    const cycle = visit(node, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}
