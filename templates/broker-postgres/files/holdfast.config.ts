// What `npm run dev` runs here, and `npx holdfast start` in production.
import { defineConfig } from 'holdfast';

export default defineConfig({
  database: { url: process.env['DATABASE_URL'] },
  transport: 'postgres',
  sagas: './src/sagas',
  consumers: './src/consumers',
  routes: [{ topics: 'order.*', to: 'shipping' }],
});
