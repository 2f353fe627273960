import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { isLost } from "./api/client";
import { App } from "./App";
import { chosenTheme, showTheme } from "./components/Shell";
import { endSession } from "./components/SignIn";
import "./css/tokens.css";
import "./css/base.css";
import "./css/controls.css";
import "./css/overlays.css";
import "./css/layout.css";
import "./css/tables.css";
import "./css/create.css";
import "./css/model.css";

const MAX_PAUSE_MS = 10_000;

showTheme(chosenTheme());

const onError = (error: Error) => endSession(client, error);
const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: {
    queries: {
      // the server is often this machine, so being "offline" means nothing
      networkMode: "always",
      // retry what got no reply, more and more slowly; don't retry what the server refused
      retry: (_count, error) => isLost(error),
      retryDelay: (count) => Math.min(1000 * 2 ** count, MAX_PAUSE_MS),
    },
    mutations: { networkMode: "always" },
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
