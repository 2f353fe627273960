--
-- PostgreSQL database dump
--

COPY public.tickets (text, label) FROM stdin;
My parcel has not arrived, although it was promised for Monday	delivery
I was charged twice for the same order	billing
The screen shows "no signal" after the update	technical
Can I change the address of a parcel that is on its way?	delivery
Please send me an invoice with my company's name, street and VAT number	billing
The app closes as soon as I open the camera	technical
The courier left the box in the rain; the books are wet	delivery
Why is the amount on my card higher than on the bill?	billing
Bluetooth finds my car, but there is no sound	technical
The tracking page says 'delivered', but nobody rang	delivery
I cancelled in March and still pay every month	billing
The battery is empty after two hours	technical
\.
