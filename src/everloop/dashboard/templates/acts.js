'use strict';
// What a form asks for is sent as JSON to the server that the page came from; the page then shows how it is.
for (const form of document.querySelectorAll('form[data-post]')) form.addEventListener('submit', async event => {
  event.preventDefault();
  const button = form.querySelector('button'), told = form.querySelector('output');
  const body = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ''));
  button.disabled = true; told.textContent = '';
  try {
    const answer = await fetch(form.dataset.post, {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(body)});
    if (answer.ok) return location.reload();
    told.textContent = (await answer.json()).error;
  } catch (error) {
    told.textContent = `The server did not answer: ${error.message}`;
  }
  button.disabled = false;
});
