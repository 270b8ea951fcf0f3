// Votes of the board, signed here: the member's key is read from a file that stays in this page. docs/cas.md, "Web console".
"use strict";

// Object identifiers in a PKCS #8 key, as bytes of their DER form, in hex.
const ED25519 = "06032b6570";
const P384 = "06052b81040022";

function hex(bytes) {
  return Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
}

function base64(bytes) {
  let text = "";
  for (const b of new Uint8Array(bytes)) text += String.fromCharCode(b);
  return btoa(text);
}

function pemBytes(text, label) {
  const match = text.match(new RegExp("-----BEGIN " + label + "-----([A-Za-z0-9+/=\\s]+)-----END " + label + "-----"));
  if (!match) throw new Error("the file has no \"BEGIN " + label + "\": wanted is a PEM file with a key in PKCS #8");
  return Uint8Array.from(atob(match[1].replace(/\s/g, "")), (c) => c.charCodeAt(0));
}

function pem(bytes, label) {
  const lines = base64(bytes).match(/.{1,64}/g).join("\n");
  return "-----BEGIN " + label + "-----\n" + lines + "\n-----END " + label + "-----\n";
}

// The key to sign with, and its public half as PEM.
async function readKey(file) {
  const der = pemBytes(await file.text(), "PRIVATE KEY");
  const start = hex(der.slice(0, 64));
  let algorithm;
  if (start.includes(ED25519)) algorithm = { name: "Ed25519" };
  else if (start.includes(P384)) algorithm = { name: "ECDSA", namedCurve: "P-384" };
  else throw new Error("the key is neither Ed25519 nor P-384");
  const key = await crypto.subtle.importKey("pkcs8", der, algorithm, true, ["sign"]);
  const jwk = await crypto.subtle.exportKey("jwk", key);
  der.fill(0);
  delete jwk.d;
  jwk.key_ops = ["verify"];
  const open = await crypto.subtle.importKey("jwk", jwk, algorithm, true, ["verify"]);
  return { key, signer: pem(await crypto.subtle.exportKey("spki", open), "PUBLIC KEY") };
}

// What this page shows must be what the bytes to be signed say.
function checkShown(proposal, bytes, choice) {
  const lines = bytes.split("\n");
  const said = Object.fromEntries(lines.slice(1, -1).map((l) => [l.slice(0, l.indexOf(": ")), l.slice(l.indexOf(": ") + 2)]));
  const shown = document.getElementById("proposal").dataset;
  const wanted = { action: shown.action, session: shown.session, current: shown.current, proposal: shown.id, vote: choice };
  for (const [name, value] of Object.entries(wanted))
    if (said[name] !== value) throw new Error("the bytes to be signed say " + name + " " + said[name] + ", this page shows " + value);
  if (proposal.action === "update" && !said.bound.includes(shown.bound))
    throw new Error("the bytes to be signed are about another new hash than this page shows");
}

// The new hash must be that of the document shown.
async function checkDocument(proposal) {
  if (proposal.action !== "update") return;
  const text = new TextEncoder().encode("openscone-session-v1\0" + proposal.after.canonical);
  const digest = hex(await crypto.subtle.digest("SHA-256", text));
  if (digest !== proposal.new) throw new Error("the new hash " + proposal.new + " is not that of the new document, " + digest);
  const shown = Array.from(document.querySelectorAll("#diff span:not(.cut)"), (s) => s.dataset.line);
  const wanted = proposal.after.text.replace(/\n$/, "").split("\n");
  if (shown.join("\n") !== wanted.join("\n")) throw new Error("the document of the proposal is not the one this page shows");
}

async function answer(response) {
  const j = await response.json();
  if (!response.ok) throw new Error(j.error ? j.error.text : "CAS answered " + response.status);
  return j;
}

async function vote(choice, file) {
  const id = document.getElementById("proposal").dataset.id;
  const proposal = await answer(await fetch("/v1/proposals/" + id));
  if (!proposal.sign) throw new Error("CAS shows this proposal's documents to members of the board only, and your certificate is none of theirs");
  const bytes = proposal.sign[choice];
  checkShown(proposal, bytes, choice);
  await checkDocument(proposal);
  const { key, signer } = await readKey(file);
  const how = key.algorithm.name === "ECDSA" ? { name: "ECDSA", hash: "SHA-384" } : { name: "Ed25519" };
  const signature = base64(await crypto.subtle.sign(how, key, new TextEncoder().encode(bytes)));
  const body = JSON.stringify({ format: "openscone-vote-v1", proposal: id, choice, signer, signature });
  return answer(await fetch("/v1/proposals/" + id + "/votes", { method: "POST", headers: { "Content-Type": "application/json" }, body }));
}

function say(text, wrong) {
  const at = document.getElementById("said");
  at.textContent = text;
  at.className = wrong ? "said wrong" : "said";
}

function start() {
  const form = document.getElementById("vote");
  if (!form) return;
  const file = document.getElementById("key");
  const buttons = Array.from(form.querySelectorAll("button"));
  const set = () => buttons.forEach((b) => (b.disabled = !file.files.length));
  file.disabled = false;
  file.addEventListener("change", set);
  for (const button of buttons)
    button.addEventListener("click", async () => {
      buttons.forEach((b) => (b.disabled = true));
      try {
        const p = await vote(button.value, file.files[0]);
        say("Your vote counts: " + button.value + ". The proposal is " + p.state + ".", false);
        form.dataset.done = button.value;
        setTimeout(() => location.reload(), 1200);
      } catch (e) {
        say(String(e.message || e), true);
        set();
      }
    });
}

document.addEventListener("DOMContentLoaded", start);
