import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError } from "./api/client";
import { App } from "./App";
import "./css/tokens.css";
import "./css/base.css";
import "./css/controls.css";
import "./css/layout.css";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // what the server refuses stays refused; what did not arrive is tried again, ever more slowly
      retry: (count, error) => !(error instanceof ApiError) && count < 3,
      retryDelay: (count) => Math.min(1000 * 2 ** count, 10_000),
    },
  },
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <App />
      </QueryClientProvider>
    </StrictMode>,
  );
}
