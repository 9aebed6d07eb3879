/**
 * What people did, newest first: who, what, to what, and why.
 */
import type { VNode } from 'preact';
import type { AuditedAct } from '../../../operations/reads/audit.ts';
import type { AsJson, ListPage } from '../../server/contract.ts';
import { sinceField } from '../parts/filter-fields.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo, hrefWith, queryNow } from '../app/router.ts';
import { shortId } from '../app/texts.ts';
import { Filters, type FilterField } from '../parts/filters.tsx';
import { PagedGrid, type GridColumn } from '../parts/grid.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { EmptyNote } from '../parts/states.tsx';

type WireAct = AsJson<AuditedAct>;

const FIELDS: readonly FilterField[] = [
  { name: 'actor', label: 'Who', hint: 'dashboard:ada' },
  { name: 'action', label: 'What', hint: 'parked.retry' },
  { name: 'subject', label: 'To what', hint: 'an id, a name' },
  { name: 'job', label: 'By job', hint: 'its id' },
  sinceField('Since'),
];
const ASKED = [...FIELDS.map(({ name }) => name), 'cursor'];

const UUID = /[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/i;

const COLUMNS: readonly GridColumn<WireAct>[] = [
  { title: 'When', cell: ({ at }) => <Moment at={at} /> },
  {
    title: 'Who',
    cell: ({ actor }) => (
      <a class="plain" href={hrefWith({ actor, cursor: null })}>
        <Plain text={actor} />
      </a>
    ),
  },
  { title: 'What', cell: ({ action }) => <b>{action}</b> },
  { title: 'To what', kind: 'wide', cell: (act) => <Subject act={act} /> },
  {
    title: 'Why',
    kind: 'wide',
    cell: ({ reason }) => (reason === null ? <span class="quiet">no reason given</span> : <Plain text={reason} />),
  },
  {
    title: 'Details',
    kind: 'wide',
    cell: ({ details }) => {
      const text = JSON.stringify(details);
      return (
        <code class="details" title={text}>
          <Plain text={text} />
        </code>
      );
    },
  },
];

/** Leads to the thing itself, where its kind tells which view has it. */
function Subject({ act: { action, subject } }: { readonly act: WireAct }): VNode {
  const id = UUID.exec(subject)?.[0];
  const path =
    id !== undefined && action.startsWith('saga.')
      ? `runs/${id}`
      : id !== undefined && action.startsWith('job.')
        ? `jobs/${id}`
        : id !== undefined && (action.startsWith('parked.') || action.startsWith('payload.'))
          ? `messages/${id}`
          : null;
  return path === null ? (
    <Plain text={subject} />
  ) : (
    <a class="row-link" href={hrefTo(path)} title={subject}>
      <Plain text={subject === id ? shortId(subject) : subject} />
    </a>
  );
}

export function AuditScreen(): VNode {
  const query = queryNow(ASKED);
  const cursor = query['cursor'] ?? null;
  const loaded = useLoaded<ListPage<WireAct>>('audit', query, { every: cursor === null ? 10_000 : null });
  return (
    <Screen title="Audit">
      <Filters fields={FIELDS} />
      <PagedGrid
        caption="What people did"
        columns={COLUMNS}
        keyOf={({ id }) => id}
        loaded={loaded}
        cursor={cursor}
        older="Older acts"
        empty={
          <EmptyNote>
            Nobody has done anything that fits. Every act from here and from the command line is written down.
          </EmptyNote>
        }
      />
    </Screen>
  );
}
