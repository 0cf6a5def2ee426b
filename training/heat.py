"""What heat a load should make: the steady losses that features and health filter compare temperatures with.

With ``l`` the torque as a fraction of rated torque, and losses as fractions of their rated values::

    p = l^2 (COLD + (1 - COLD) l^2)         winding: copper loss, less at part load as copper is then colder
    q = IDLE + (1 - IDLE) p                 all losses: iron and friction stay
    T_h - T_a = q theta_h exp(c)            housing over ambient, c the logarithm of the cooling resistance
    T_w - T_h = p (theta_w - theta_h)       winding over housing

Where torque is not measured, the current says it: ``l^2 = (i^2 - i_0^2) / (1 - i_0^2)``, ``i_0`` the no-load current
(IEC 60034-31 on loss split; IEC 60028 for copper, 0.39 %/K, which over the usual rise makes about a quarter).
"""

IDLE_SHARE = 0.30
"""Share of rated losses that a motor has without load."""

COLD_SHARE = 0.75
"""Resistance of the winding near ambient over that at rated rise."""

IDLE_CURRENT_SQUARED = 0.20
"""Square of the no-load current over rated current, small four-pole machines."""
