/**
 * The areas of the main entry point, whose exports are too many for one page. Each stands with the room of src that declares it.
 */
export interface ApiArea {
  /** Of the page, behind the name of the entry. */
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** Beginnings of paths below src. Of two that fit, the longer one. */
  readonly rooms: readonly string[];
}

export const AREAS: readonly ApiArea[] = [
  { name: 'messages', title: 'Messages', about: 'message types and envelopes', rooms: ['message/'] },
  { name: 'outbox', title: 'Outbox', about: 'writing messages', rooms: ['outbox/'] },
  { name: 'relay', title: 'Relay', about: 'publishing them', rooms: ['relay/'] },
  {
    name: 'transports',
    title: 'Transports',
    about: 'the port to a broker, and the one in memory',
    rooms: ['transport/'],
  },
  { name: 'inbox', title: 'Inbox', about: 'consumers, handlers, idempotency keys', rooms: ['inbox/'] },
  {
    name: 'sagas',
    title: 'Sagas',
    about: 'declaring them: steps, signals, compensation',
    rooms: ['saga/definition/', 'saga/kinds/'],
  },
  {
    name: 'runs',
    title: 'Runs',
    about: 'starting sagas, workers, what is recorded, new code against old runs',
    rooms: ['saga/'],
  },
  {
    name: 'participants',
    title: 'Participants',
    about: 'services that answer the commands of sagas',
    rooms: ['saga/participant/', 'saga/protocol/'],
  },
  { name: 'database', title: 'Database', about: 'access, migrations, clients and ORMs', rooms: ['postgres/'] },
  { name: 'errors', title: 'Errors', about: 'the classes and the codes', rooms: ['errors.ts'] },
  {
    name: 'configuration',
    title: 'Configuration',
    about: 'what holdfast.config.ts may say',
    rooms: ['operations/config.ts', 'operations/oidc-settings.ts'],
  },
  {
    name: 'operations',
    title: 'Operations',
    about: 'status, doctor, messages and their paths, replay, audit',
    rooms: ['operations/', 'postgres/audit.ts'],
  },
  {
    name: 'operations-parked',
    title: 'Operations: parked messages and jobs',
    about: 'listing, editing, retrying and discarding, one or many',
    rooms: ['operations/parked/', 'operations/jobs/'],
  },
  {
    name: 'operations-runs',
    title: 'Operations: runs',
    about: 'searching and showing runs, and what people do to them',
    rooms: [
      'operations/sagas/',
      'operations/on-demand-runs.ts',
      'operations/jobs/saga-bulk.ts',
      'operations/jobs/run-selection.ts',
    ],
  },
  { name: 'alerts', title: 'Alerts', about: 'what is told of, to whom, and when', rooms: ['operations/alerts/'] },
  {
    name: 'types',
    title: 'Types',
    about: 'what all share: durations, retries, logs, metrics, services',
    rooms: ['runtime/'],
  },
];

export interface Placed {
  readonly name: string;
  /** Below src. */
  readonly file: string;
  /** Names of exports in its declaration, in their order. */
  readonly mentions: readonly string[];
}

/**
 * The name of an area for each export. The functions that load their code with their first use (operations/on-demand*.ts) stand with what
 * they give, or else with what they take.
 *
 * @throws Error for a file that no area has
 */
export function areasOf(items: readonly Placed[]): ReadonlyMap<string, string> {
  const byRoom = new Map(items.map((item) => [item.name, areaOfRoom(item)]));
  return new Map(items.map((item) => [item.name, isLoadedLate(item) ? areaOfResult(item) : areaOf(item.name)]));

  function areaOf(name: string): string {
    return byRoom.get(name)?.name ?? '';
  }

  function areaOfResult({ name, mentions }: Placed): string {
    const told = mentions.map(areaOf).findLast((area) => area.startsWith('operations-') || area === 'alerts');
    return told ?? areaOf(name);
  }
}

function isLoadedLate({ file }: Placed): boolean {
  return file.startsWith('operations/on-demand');
}

function areaOfRoom({ name, file }: Placed): ApiArea {
  const fitting = AREAS.flatMap((area) =>
    area.rooms.filter((room) => file.startsWith(room)).map((room) => ({ area, length: room.length })),
  );
  const [best] = fitting.toSorted((left, right) => right.length - left.length);
  if (best === undefined) throw new Error(`No area of .ci/site/api-areas.ts has ${file}, which declares ${name}.`);
  return best.area;
}
