// Requests as code: what the Studio does, said as curl, Python and the command line.

const quote = (value: string) => JSON.stringify(value);

/** How a model is asked from code. */
export function answerSnippets(address: string, model: string, prompt: string): Record<string, string> {
  const body = JSON.stringify({ contents: [{ parts: [{ text: prompt }] }] });
  const id = model.replace("tunedModels/", "");
  return {
    curl: `curl -H "Authorization: Bearer $TUNERY_TOKEN" -H "Content-Type: application/json" \\
  -d '${body.replaceAll("'", "'\\''")}' \\
  ${address}/v1beta/${model}:generateContent`,
    "Python (google-genai)": `import os
from google import genai

client = genai.Client(
    api_key="unused",
    http_options={"base_url": ${quote(address)}, "headers": {"Authorization": "Bearer " + os.environ["TUNERY_TOKEN"]}},
)
print(client.models.generate_content(model=${quote(model)}, contents=${quote(prompt)}).text)`,
    "Python (google-generativeai)": `import os
import google.generativeai as genai
from google.oauth2.credentials import Credentials

genai.configure(
    credentials=Credentials(os.environ["TUNERY_TOKEN"]), transport="rest",
    client_options={"api_endpoint": ${quote(address)}},
)
print(genai.GenerativeModel(${quote(model)}).generate_content(${quote(prompt)}).text)`,
    "Command line": `tunery generate ${id} ${quote(prompt)}`,
  };
}
