/**
 * What is parked, by what it has in common: place, topic, reason and kind of error, with how it came in over time. One click leads to the
 * messages of a group, another acts on all of them.
 */
import type { VNode } from 'preact';
import { parkedErrorText } from '../../../message/encrypted-value.ts';
import { mayAct } from '../app/acts.ts';
import { KEY_FIELD, TOPIC_FIELD, sinceField } from '../parts/filter-fields.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo, queryNow } from '../app/router.ts';
import { countText, several, spanText } from '../app/texts.ts';
import type { WireGroup, WireGroups } from '../app/wire.ts';
import { Filters, type FilterField } from '../parts/filters.tsx';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { Spark } from '../parts/spark.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';
import { ManyButton } from './many-acts.tsx';
import { discardMany, retryMany } from './parked-acts.ts';
import { ParkedTabs } from './parked-tabs.tsx';

const FIELDS: readonly FilterField[] = [
  {
    name: 'dead',
    label: 'State',
    choices: [
      ['', 'any that failed'],
      ['1', 'dead letters'],
    ],
  },
  { name: 'subscription', label: 'Not published by', hint: 'subscription' },
  { name: 'consumer', label: 'Not handled by', hint: 'consumer' },
  TOPIC_FIELD,
  KEY_FIELD,
  sinceField('Parked since'),
];
const ASKED = FIELDS.map(({ name }) => name);

const columnsFor = (bucketMs: number): readonly GridColumn<WireGroup>[] => [
  {
    title: 'Topic',
    cell: ({ kind, where, topic, id }) => (
      <a class="row-link" href={hrefTo('parked', { kind, where, group: id })}>
        {topic}
      </a>
    ),
  },
  { title: 'At', cell: ({ kind, where }) => <span title={kind}>{where}</span> },
  {
    title: 'Error',
    kind: 'wide',
    cell: ({ reason, error }) => (
      <span title={error === null ? reason : `${reason}: ${parkedErrorText(error)}`}>
        <Plain text={parkedErrorText(error ?? reason)} />
      </span>
    ),
  },
  { title: 'Messages', kind: 'number', cell: ({ messages }) => <b>{countText(messages)}</b> },
  { title: 'Dead', kind: 'number', cell: ({ dead }) => countText(dead) },
  {
    title: `Last ${spanText(bucketMs * 24)}`,
    cell: ({ recent }) => <Spark counts={recent} each={spanText(bucketMs)} />,
  },
  { title: 'Newest', cell: ({ lastAt }) => <Moment at={lastAt} /> },
  ...(mayAct.value ? [{ title: 'All of them', cell: (group: WireGroup) => <GroupActs group={group} /> }] : []),
];

function GroupActs({ group: { id, topic, where, messages } }: { readonly group: WireGroup }): VNode {
  const which = `${countText(messages)} of ${topic} at ${where}`;
  return (
    <span class="row-acts">
      <ManyButton label="Retry" said={`Retry ${which}`} look="small" many={retryMany({ group: id })} />
      <ManyButton label="Discard" said={`Discard ${which}`} look="small grave" many={discardMany({ group: id })} />
    </span>
  );
}

export function ParkedGroupsScreen(): VNode {
  const query = queryNow(ASKED);
  const loaded = useLoaded<WireGroups>('parked/groups', query, { every: 10_000 });
  const { dead, ...others } = query;
  const select = dead === undefined ? others : { ...others, dead: true };
  return (
    <Screen title="Parked">
      <ParkedTabs here="groups" query={query} />
      <Filters fields={FIELDS} />
      <Answered loaded={loaded} lines={8}>
        {({ groups, messages, total, bucketMs }) =>
          groups.length === 0 ? (
            <EmptyNote>
              Nothing that failed is parked here. What could be neither published nor handled is set aside, and stands
              here by the kind of its error.
            </EmptyNote>
          ) : (
            <>
              <div class="summary">
                <p class="quiet">
                  {several(messages, 'failed message')} in {several(total, 'group')}
                  {total > groups.length ? `, of which the largest ${groups.length} are shown` : ''}
                </p>
                {mayAct.value ? (
                  <span class="acts">
                    <ManyButton label="Retry all of them" many={retryMany(select)} />
                    <ManyButton label="Discard all of them" look="grave" many={discardMany(select)} />
                  </span>
                ) : null}
              </div>
              <Grid
                caption="Groups of parked messages"
                columns={columnsFor(bucketMs)}
                rows={groups}
                keyOf={({ id, reason }) => `${id} ${reason}`}
              />
            </>
          )
        }
      </Answered>
    </Screen>
  );
}
