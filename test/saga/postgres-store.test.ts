/** The stores of PostgreSQL have the duties of the port. */
import { sagaStoreConformance } from '../conformance/saga-store.ts';
import { openPostgresStores } from './postgres-stores.ts';

sagaStoreConformance({ name: 'PostgreSQL', create: openPostgresStores });
