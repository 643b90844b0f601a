import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  server: {
    // For a run without Docker; in the Compose project the proxy sends /api to the backend.
    proxy: { '/api': 'http://127.0.0.1:3000' },
    warmup: { clientFiles: ['./src/main.jsx'] },
  },
});
